"use strict";

// Addresses lie beside the page, below whatever path a proxy has put it.
const here = (address) => (address.startsWith("/") ? address.slice(1) : address);
const at = (id) => document.getElementById(id);
const show = (selector, shown) => {
  for (const element of document.querySelectorAll(selector)) element.hidden = !shown;
};
let about, asking;

function say(text, wrong = false) {
  at("state").textContent = text;
  at("state").classList.toggle("wrong", wrong);
}

// What a network is asked for: more text, or one of its kinds of items.
function inputs() {
  return about.stream ? [] : about.signatures["answer_" + at("kind").value] || [];
}

function arrange() {
  const items = !about.stream;
  const kinds = Object.keys(about.signatures).filter((name) => name.startsWith("answer_"));
  if (items && !at("kind").length) {
    for (const name of kinds) at("kind").add(new Option(name.slice("answer_".length)));
  }
  show(".text", !items);
  at("cut").hidden = !about.chunks;
  show(".items, #files", items && kinds.length > 0);
  for (const name of ["height", "width", "samples"]) {
    at(name).closest("label").hidden = !inputs().includes(name);
  }
  const asked = !items || kinds.length > 0;
  at("write").disabled = !asked;
  if (!asked) say("This network answers tokens only, by its REST forms.");
}

// Shows the network of a name, or the server's first.
async function begin(name) {
  const address = name ? `/about.json?model=${encodeURIComponent(name)}` : "/about.json";
  about = await (await fetch(here(address))).json();
  at("model-label").hidden = about.models.length < 2;
  if (!at("model").length) for (const each of about.models) at("model").add(new Option(each));
  for (const id of ["kind", "examples", "asked", "written", "identity"]) at(id).replaceChildren();
  at("identity-label").hidden = !about.identities.length;
  for (const name of ["", ...about.identities]) at("identity").add(new Option(name || "none", name));
  at("examples").hidden = at("answer").hidden = true;
  say("");
  document.title = at("name").textContent = about.name;
  const facts = [`version ${about.version}`];
  if (about.parameters) facts.push(`${about.parameters.toLocaleString("en")} parameters`);
  if (about.density) facts.push(about.density === "auto" ? "a density for each text" : `density ${about.density}`);
  if (about.source) facts.push(`trained on ${about.source}`);
  facts.push("what you type goes to this server only");
  at("about").textContent = facts.join("; ");
  for (const example of about.stream ? about.examples : []) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "example";
    button.textContent = example;
    button.addEventListener("click", () => { at("prompt").value = example; at("prompt").focus(); });
    at("examples").append(button);
    at("examples").hidden = false;
  }
  at("prompt").maxLength = about.limits.prompt;
  at("length").max = about.limits.length;
  for (const name of ["length", "temperature", "seed"]) at(name).value = about.settings[name];
  at("length").value = Math.min(at("length").value, about.limits.length);
  at("key-label").hidden = !about.key;
  arrange();
  document.dispatchEvent(new CustomEvent("about", { detail: about }));
}

// The server-sent events of an answer: pairs of a name and its data.
async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    rest += value;
    for (let end; (end = rest.indexOf("\n\n")) >= 0; rest = rest.slice(end + 2)) {
      const fields = { event: "text", data: "" };
      for (const line of rest.slice(0, end).split("\n")) {
        const colon = line.indexOf(": ");
        fields[line.slice(0, colon)] = line.slice(colon + 2);
      }
      if (fields.data === "[DONE]") return;
      yield [fields.event, JSON.parse(fields.data)];
    }
  }
}

// The key is kept for this tab alone.
function headers() {
  const key = at("key").value || sessionStorage.getItem("key") || "";
  if (key) sessionStorage.setItem("key", key);
  const about = { "Content-Type": "application/json" };
  return key ? { ...about, Authorization: `Bearer ${key}` } : about;
}

async function post(address, body, signal = asking.signal) {
  const response = await fetch(here(address), {
    method: "POST",
    headers: headers(),
    body: JSON.stringify(body),
    signal,
  });
  if (!response.ok) {
    const answer = await response.json().catch(() => ({}));
    if (response.status === 401) at("key-label").hidden = false;
    const error = answer.error || {};
    throw new Error(error.message || (typeof error === "string" && error) || `status ${response.status}`);
  }
  return response;
}

const number = (id) => Number(at(id).value);

async function writeText() {
  const body = { prompt: at("prompt").value };
  if (about.identities.length) body.identity = at("identity").value;
  for (const name of ["length", "temperature", "seed"]) body[name] = number(name);
  const response = await post(about.stream, body);
  at("asked").textContent = body.prompt;
  at("answer").hidden = false;
  const begun = performance.now();
  let ended = false;
  for await (const [name, data] of events(response)) {
    if (name === "error") throw new Error(data.error);
    if (name === "end") {
      ended = true;
      const seconds = (performance.now() - begun) / 1000;
      say(`${data.characters} characters in ${seconds.toFixed(1)} s`);
    } else {
      at("written").append(data.text);
    }
  }
  if (!ended) throw new Error("the answer broke off");
}

// The prompt and what was written, in the network's chunks: two shades, paler where a cut was only
// made because the chunk before it was full.
async function showChunks() {
  const [asked, written] = ["asked", "written"].map((id) => at(id).textContent);
  const text = asked + written || at("prompt").value;
  const answer = await (await post(about.chunks, { text })).json();
  at("asked").textContent = "";
  at("written").replaceChildren(...answer.chunks.map((chunk, number) => {
    const span = document.createElement("span");
    span.textContent = chunk;
    span.className = number % 2 ? "chunk odd" : "chunk";
    span.style.setProperty("--strength", `${Math.round(30 + 70 * answer.strength[number])}%`);
    span.title = `cut: ${answer.strength[number].toFixed(2)}`;
    return span;
  }));
  at("answer").hidden = false;
  say(`${answer.chunks.length} chunks, ${(text.length / answer.chunks.length).toFixed(1)} characters each`);
}

async function bytes(id) {
  const file = at(id).files[0];
  if (!file) return "";
  const raw = new Uint8Array(await file.arrayBuffer());
  return { b64: btoa(Array.from(raw, (byte) => String.fromCharCode(byte)).join("")) };
}

async function writeItem() {
  const kind = at("kind").value;
  const row = { text: at("prompt").value, image: await bytes("picture"), audio: await bytes("sound") };
  row.decoding = at("decoding").value;
  for (const name of inputs()) {
    if (!(name in row)) row[name] = name in about.mime ? "" : number(name);
  }
  const body = { signature_name: `answer_${kind}`, instances: [row] };
  const answer = (await (await post(about.predict, body)).json()).predictions[0];
  at("answer").hidden = false;
  const mime = about.mime[kind];
  if (typeof answer === "string") {
    at("written").textContent = answer;
  } else {
    const tag = { image: "img", audio: "audio" }[mime.split("/")[0]] || "a";
    const element = document.createElement(tag);
    if (tag === "audio") element.controls = true;
    if (tag === "img") element.alt = "The picture that was answered";
    if (tag === "a") element.download = element.textContent = kind;
    element[tag === "a" ? "href" : "src"] = `data:${mime};base64,${answer.b64}`;
    at("written").append(element);
  }
  say("answered");
}

async function ask(event) {
  event.preventDefault();
  if (asking) return;
  at("asked").textContent = "";
  at("written").replaceChildren();
  await during("writing", about.stream ? writeText : writeItem);
}

// Does something that Stop ends.
async function during(word, act) {
  if (asking) return;
  asking = new AbortController();
  at("write").disabled = at("cut").disabled = true;
  at("stop").disabled = false;
  say(word);
  try {
    await act();
  } catch (error) {
    if (error.name === "AbortError") say("stopped");
    else say(error.message, true);
  }
  asking = null;
  at("write").disabled = at("cut").disabled = false;
  at("stop").disabled = true;
}

at("form").addEventListener("submit", ask);
at("cut").addEventListener("click", () => during("cutting", showChunks));
at("stop").addEventListener("click", () => asking && asking.abort());
at("kind").addEventListener("change", arrange);
at("model").addEventListener("change", () => {
  if (asking) asking.abort();
  begin(at("model").value).catch((error) => say(error.message, true));
});
at("prompt").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) at("form").requestSubmit();
});
begin().catch((error) => say(error.message, true));
