"use strict";

// The conversation: messages as OpenAI's API has them, each with its element in the list.
let facts, stopping, tainted;
const messages = [];
const PRESETS = { factual: { temperature: 0 }, creative: { temperature: 1, top_p: 0.95 } };
const NAMES = { user: "You", assistant: "Network", tool: "Tool", system: "System" };
const MAX_ROUNDS = 8;

function tell(text, wrong = false) {
  at("talk-state").textContent = text;
  at("talk-state").classList.toggle("wrong", wrong);
}

function element(tag, className, text = "") {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
}

function button(text, act) {
  const made = element("button", "small", text);
  made.type = "button";
  made.addEventListener("click", act);
  return made;
}

// A message in the list; its text is set as text, never as HTML.
function show_message(role, text) {
  const item = element("li", `message ${role}`);
  item.append(element("span", "role", NAMES[role]), element("div", "text", text));
  at("messages").append(item);
  return item;
}

function add(message) {
  const item = show_message(message.role, message.content || "");
  messages.push({ message, item });
  if (message.role === "user") {
    const edit = button("Edit", () => {
      at("message").value = message.content;
      cut(messages.findIndex((entry) => entry.item === item));
      at("message").focus();
    });
    edit.setAttribute("aria-label", "Edit this message");
    item.append(edit);
  }
  return item;
}

// Removes messages from a number on.
function cut(number) {
  for (const { item } of messages.splice(number)) item.remove();
  arrange_buttons();
}

function arrange_buttons() {
  const busy = Boolean(stopping);
  at("send").disabled = busy || !facts;
  at("talk-stop").disabled = !busy;
  const said = messages.some(({ message }) => message.role === "user");
  at("again").disabled = at("keep").disabled = busy || !said;
}

function body() {
  const system = at("system").value;
  const all = messages.map(({ message }) => message);
  const asked = {
    model: at("identity").value ? `${facts.name}:${at("identity").value}` : facts.name,
    messages: system ? [{ role: "system", content: system }, ...all] : all,
    max_tokens: Math.min(number("talk-length"), facts.limits.length),
    stream: true,
    ...(PRESETS[at("preset").value] || { temperature: number("talk-temperature") }),
  };
  if (at("talk-seed").value !== "") asked.seed = number("talk-seed");
  if (facts.tools.length) asked.tools = facts.tools.map(({ tool }) => tool);
  return asked;
}

// Writes one message of the assistant; what was written before Stop stays.
async function write_message() {
  const asked = body();
  const message = { role: "assistant", content: "" };
  const item = add(message);
  const calls = [];
  try {
    const response = await post("/v1/chat/completions", asked, stopping.signal);
    for await (const [, chunk] of events(response)) {
      if (chunk.error) throw new Error(chunk.error.message);
      if (chunk.mdnn) tell(`The context had no room for the first ${chunk.mdnn.dropped_messages} messages.`);
      const { delta } = chunk.choices[0];
      message.content += delta.content || "";
      calls.push(...(delta.tool_calls || []));
      item.querySelector(".text").append(delta.content || "");
      item.scrollIntoView({ block: "nearest" });
    }
  } finally {
    if (!message.content && !calls.length) cut(messages.length - 1);
  }
  if (calls.length) {
    message.tool_calls = calls.map(({ id, type, function: called }) => ({ id, type, function: called }));
  }
  return message;
}

// Asks the person whether a call may run.
function asked_for(item, name) {
  return new Promise((resolve, reject) => {
    const row = element("div", "row");
    const answer = (run) => { row.remove(); resolve(run); };
    row.append(button(`Run ${name}`, () => answer(true)), button("Refuse", () => answer(false)));
    item.append(row);
    row.firstChild.focus();
    stopping.signal.addEventListener("abort", () => {
      row.remove();
      reject(new DOMException("stopped", "AbortError"));
    });
  });
}

async function run_call(call) {
  const { name, arguments: values } = call.function;
  const item = show_message("tool", `${name} ${values}`);
  const known = facts.tools.find(({ tool }) => tool.function.name === name);
  const free = known && known.allowed && (known.harmless || !tainted);
  let content = "The person refused this call.";
  try {
    if (!known || free || (await asked_for(item, name))) {
      const response = await post("/v1/tools/call", { name, arguments: JSON.parse(values) }, stopping.signal);
      const result = await response.json();
      content = result.result;
      tainted = tainted || result.untrusted;
    }
  } catch (error) {
    item.remove();
    throw error;
  }
  const result = element("div", "text result", content);
  item.append(result);
  messages.push({ message: { role: "tool", tool_call_id: call.id, content }, item });
}

async function converse() {
  stopping = new AbortController();
  tainted = false;
  arrange_buttons();
  tell("writing");
  const begun = messages.length;
  try {
    for (let round = 0; round < MAX_ROUNDS; round++) {
      const message = await write_message();
      if (!message.tool_calls) break;
      for (const call of message.tool_calls) await run_call(call);
    }
    if (at("talk-state").textContent === "writing") tell("");
  } catch (error) {
    // A call without its result is not a conversation to go on with.
    const last = messages.at(-1);
    if (last && messages.length > begun && last.message.tool_calls) cut(messages.length - 1);
    if (error.name === "AbortError") tell("stopped");
    else tell(error.message, true);
  }
  stopping = null;
  arrange_buttons();
}

async function send(event) {
  event.preventDefault();
  const content = at("message").value;
  if (stopping || !facts || !content.trim()) return;
  at("message").value = "";
  add({ role: "user", content });
  await converse();
  at("message").focus();
}

async function again() {
  if (stopping) return;
  let last = messages.length - 1;
  while (last >= 0 && messages[last].message.role !== "user") last--;
  if (last < 0) return;
  cut(last + 1);
  await converse();
}

function keep() {
  const all = messages.map(({ message }) => message);
  const system = at("system").value;
  const table = { messages: system ? [{ role: "system", content: system }, ...all] : all };
  if (facts.tools.length) table.tools = facts.tools.map(({ tool }) => tool);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([`${JSON.stringify(table)}\n`], { type: "application/jsonl" }));
  link.download = "conversation.jsonl";
  link.click();
  URL.revokeObjectURL(link.href);
}

function show_view(talk) {
  at("talk").hidden = !talk;
  at("form").hidden = talk;
  if (talk) at("answer").hidden = true;
  at("show-talk").setAttribute("aria-pressed", talk);
  at("show-form").setAttribute("aria-pressed", !talk);
  at(talk ? "message" : "prompt").focus();
}

function begin_talk(detail) {
  facts = detail;
  at("views").hidden = !facts.completions;
  arrange_buttons();
  if (!facts.completions) {
    show_view(false);
    return;
  }
  at("talk-length").max = facts.limits.length;
  at("talk-length").value = Math.min(number("talk-length"), facts.limits.length);
  const names = facts.tools.map(({ tool }) => tool.function.name);
  at("tools").textContent = names.length ? `Tools: ${names.join(", ")}` : "";
  // A conversation that has begun goes on with the network that was chosen.
  if (facts.chat || messages.length) show_view(true);
}

document.addEventListener("about", ({ detail }) => begin_talk(detail));
at("talk-form").addEventListener("submit", send);
at("talk-stop").addEventListener("click", () => stopping && stopping.abort());
at("again").addEventListener("click", again);
at("keep").addEventListener("click", keep);
at("new").addEventListener("click", () => {
  if (stopping) stopping.abort();
  cut(0);
  tell("");
  at("message").focus();
});
at("show-talk").addEventListener("click", () => show_view(true));
at("show-form").addEventListener("click", () => show_view(false));
at("message").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    at("talk-form").requestSubmit();
  } else if (event.key === "ArrowUp" && !at("message").value) {
    const edit = [...document.querySelectorAll("#messages .user .small")].at(-1);
    if (edit && !stopping) { event.preventDefault(); edit.click(); }
  }
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && stopping) stopping.abort();
});
// The other script may have been faster.
if (about) begin_talk(about);
