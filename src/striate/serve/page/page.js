// Images go to /predict one by one; each answer is shown beside its image.

const drop = document.querySelector("#drop"), files = document.querySelector("#files");
const status = document.querySelector("#status"), answers = document.querySelector("#answers");
const percent = new Intl.NumberFormat("en", { style: "percent", minimumFractionDigits: 1, maximumFractionDigits: 1 });
const MOST = 50; // answers that stay
const PATIENCE = 5; // times that one that was refused is asked again

function made(kind, text = "", properties = {}) {
  return Object.assign(document.createElement(kind), { textContent: text }, properties);
}

async function asked(image) {
  for (let time = 0; ; time += 1) {
    const answer = await fetch("predict", { method: "POST", body: image, headers: { "content-type": image.type || "application/octet-stream" } });
    if (![429, 503].includes(answer.status) || time === PATIENCE) return answer.json();
    await new Promise((done) => setTimeout(done, 1000 * (Number(answer.headers.get("retry-after")) || 1)));
  }
}

function classes(top) {
  const list = made("ol", "", { className: "classes" });
  for (const { class: name, probability } of top) {
    const row = made("li");
    row.append(made("span", name), made("output", percent.format(probability)));
    row.append(made("meter", "", { value: probability, max: 1, ariaLabel: `${name}: ${percent.format(probability)}` }));
    list.append(row);
  }
  return list;
}

function shown(image, answer) {
  const entry = made("li"), told = made("div"), picture = made("img", "", { alt: "" });
  const address = URL.createObjectURL(image);
  for (const kind of ["load", "error"]) picture.addEventListener(kind, () => URL.revokeObjectURL(address));
  picture.src = address;
  const first = answer.predictions?.[0];
  told.append(made("h2", image.name || "image"));
  told.append(first?.top ? classes(first.top) : made("p", `${answer.error}: ${answer.hint}`, { className: "wrong" }));
  entry.append(picture, told);
  answers.prepend(entry);
  while (answers.children.length > MOST) answers.lastElementChild.remove();
}

async function take(given) {
  const images = [...given];
  for (const [number, image] of images.entries()) {
    status.textContent = `Looking at ${image.name || "the image"} (${number + 1} of ${images.length})`;
    let answer;
    try {
      answer = await asked(image);
    } catch {
      answer = { error: "no answer", hint: "is the server still running?" };
    }
    shown(image, answer);
    const best = answer.predictions?.[0]?.top?.[0];
    status.textContent = best ? `${image.name || "The image"}: ${best.class}, ${percent.format(best.probability)}` : answer.error;
  }
  files.value = "";
}

files.addEventListener("change", () => take(files.files));
for (const kind of ["dragenter", "dragover"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    drop.classList.add("over");
  });
}
for (const kind of ["dragleave", "drop"]) document.addEventListener(kind, () => drop.classList.remove("over"));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  take(event.dataTransfer.files);
});
document.addEventListener("paste", (event) => {
  if (event.clipboardData?.files.length) take(event.clipboardData.files);
});

fetch("ready").then((answer) => answer.json()).then(({ model, error }) => {
  document.querySelector("#model").textContent = model ?? error;
}).catch(() => {});
