// A window that moves over a map, of a filter or of a pooling.

#pragma once

#include "values.h"

struct Window {
    Index rows, columns, down, across, above, left;  // its size, its stride, the padding
};
