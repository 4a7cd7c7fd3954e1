// Calls of the server. A full queue is waited for; any other refusal is an Error with the server's sentence.

export const say = (text, wrong = false) => {
  const status = document.getElementById("status");
  status.textContent = text;
  status.classList.toggle("wrong", wrong);
};

const pause = (seconds, signal) =>
  new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, 1000 * seconds);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });

async function answer(path, options) {
  try {
    return await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The server does not answer: is it still running?");
  }
}

export async function ask(path, body, signal) {
  const options = body && {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
    signal,
  };
  for (let attempt = 0; ; attempt++) {
    const given = await answer(path, options);
    if (given.status === 503 && attempt < 10) {
      const seconds = Number(given.headers.get("Retry-After")) || 1;
      say(`The server is busy. Trying again in ${seconds} s.`);
      await pause(seconds, signal);
      continue;
    }
    const content = await given.json().catch(() => ({ detail: `The server answered ${given.status}.` }));
    signal?.throwIfAborted(); // also while the answer was read
    if (!given.ok) throw new Error(content.detail);
    return content;
  }
}

export const pictureURL = (png) => `data:image/png;base64,${png}`;
