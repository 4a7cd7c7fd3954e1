// The state of the page is the part of its address behind "#", so that a link brings back the same pictures.

export const read = () => Object.fromEntries(new URLSearchParams(location.hash.slice(1)));

const hashOf = (state) => `#${new URLSearchParams(Object.entries(state).filter(([, value]) => value !== undefined))}`;

export const addressOf = (state) => new URL(hashOf(state), location.href).href;

export const write = (state) => history.replaceState(null, "", hashOf(state));

export async function copyLink(address, button) {
  const before = button.textContent;
  try {
    await navigator.clipboard.writeText(address);
    button.textContent = "Copied";
  } catch {
    prompt("Copy this link", address); // without the right to write to the clipboard
  }
  setTimeout(() => (button.textContent = before), 1500);
}
