// The numbers that the lectures teach to watch: a light with a word, the number, the rule; and what they mean.

import { short } from "./parts.js";

const LIGHTS = { true: ["●", "well"], false: ["▲", "look"], null: ["○", "told"] };

export function showVitals(table, list, { readings, sentences }) {
  list.replaceChildren(
    ...sentences.map(({ grave, says, evidence, remedy }) => {
      const item = document.createElement("li");
      item.className = grave;
      const strong = document.createElement("strong");
      strong.textContent = says;
      item.append(strong, ` ${evidence}. ${remedy}`);
      return item;
    }),
  );
  const body = table.tBodies[0];
  body.replaceChildren(
    ...readings.map(({ name, layer, value, good, rule }) => {
      const row = document.createElement("tr");
      const [sign, word] = LIGHTS[String(good)];
      const light = document.createElement("td");
      light.textContent = sign;
      light.className = word;
      light.setAttribute("aria-label", word);
      const cells = [name, layer, short(value), rule].map((text) => {
        const cell = document.createElement("td");
        cell.textContent = text;
        return cell;
      });
      row.append(light, ...cells);
      return row;
    }),
  );
}
