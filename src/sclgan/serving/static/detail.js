// One picture, large: what each word or mask looks at, download, and a link.
import { ask, pictureURL, say } from "/api.js";
import { copyLink } from "/link.js";

const element = (id) => document.getElementById(id);
const dialog = element("detail");
let asking;

// shown: {run, caption, num_images, seed, picture, png}; `run` is the object of GET /api/server
export async function open(shown, link) {
  const { run, caption, num_images, seed, picture } = shown;
  element("detail-title").textContent = caption;
  element("detail-facts").textContent = `${run.name}, seed ${seed}, picture ${picture + 1} of ${num_images}`;
  const image = element("detail-picture");
  image.src = pictureURL(shown.png);
  image.alt = caption;
  const download = element("download");
  download.href = pictureURL(shown.png);
  download.download = fileName(run.name, caption, seed, picture);
  element("copy-link").onclick = () => copyLink(link, element("copy-link"));
  element("maps").replaceChildren();
  element("maps-title").hidden = !run.maps;
  if (!dialog.open) dialog.showModal();
  if (!run.maps) return;
  element("maps-title").textContent = run.maps === "words" ? "Where each word is drawn" : "Where the sentence is fused in, from coarse to fine";
  asking?.abort();
  asking = new AbortController();
  try {
    const body = { run: run.name, caption, num_images, seed, picture };
    const { maps } = await ask("/api/maps", body, asking.signal);
    showMaps([{ label: "picture", png: shown.png }, ...maps], image);
  } catch (error) {
    if (error.name !== "AbortError") say(error.message, true);
  }
}

function showMaps(maps, image) {
  const buttons = maps.map(({ label, png }, place) => {
    const button = document.createElement("button");
    button.type = "button";
    button.setAttribute("aria-pressed", place === 0);
    const small = document.createElement("img");
    small.src = pictureURL(png);
    small.alt = "";
    button.append(small, label);
    button.addEventListener("click", () => {
      image.src = small.src;
      for (const other of buttons) other.setAttribute("aria-pressed", other === button);
    });
    return button;
  });
  element("maps").replaceChildren(...buttons);
}

const fileName = (run, caption, seed, picture) => {
  const words = `${run} ${caption}`.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? ["picture"];
  return `${words.join("-").slice(0, 60)}-seed${seed}-${picture + 1}.png`;
};

export function whenClosed(then) {
  element("close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  dialog.addEventListener("close", () => {
    asking?.abort();
    then();
  });
}

export const close = () => dialog.close();
