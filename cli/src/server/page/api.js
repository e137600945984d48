// The server's API: keys, errors in words, answers as they come.

const ORIGIN = location.href.replace(/\/[^/]*$/, "");

// Why something did not work: what happened, and what to do about it.
class Trouble extends Error {
  constructor(message, advice = "", { code = "", status = 0, retryAfter = 0 } = {}) {
    super(message);
    Object.assign(this, { advice, code, status, retryAfter });
  }

  get words() {
    const message = /[.!?]$/.test(this.message) ? this.message : `${this.message}.`;
    return `${message[0].toUpperCase()}${message.slice(1)} ${this.advice}`.trim();
  }
}

const ADVICE = {
  context_length_exceeded: "Shorten the text, begin a new chat or edit an earlier message.",
  deadline_exceeded: "Ask for a shorter answer, or start the server with a longer --deadline.",
  invalid_api_key: "Enter the key that the server's owner gave you.",
};

function troubleOf(status, error, retryAfter) {
  const { message = `the server answered with status ${status}`, code = "" } = error ?? {};
  const again = retryAfter ? `Try again in ${retryAfter} s.` : "";
  const other = status >= 500 ? "The server's terminal may say more." : "";
  return new Trouble(message, ADVICE[code] ?? (again || other), { code, status, retryAfter });
}

const isStopped = (error) => error.name === "AbortError";

const unreachable = () => new Trouble("the server does not answer", `Is gatefold serve running at ${ORIGIN}? Nothing is lost; try again when it is.`);

const apiKey = () => visit.get("key") ?? memory.get("key");

function keepKey(key, stays) {
  memory.set("key", stays ? key : null);
  visit.set("key", stays ? null : key);
  $.showKey.hidden = !key;
}

let keyAsked = null;

// Asks for the key; comes to whether one was given. Whoever asks meanwhile waits for the same answer.
function askForKey(why = "This server answers those who have a key.") {
  keyAsked ??= new Promise((resolve) => {
    const dialog = $.key;
    tell($.keyWhy, why);
    $.keyText.value = apiKey() ?? "";
    $.keyStays.checked = memory.get("key") !== null;
    dialog.returnValue = "";
    dialog.onclose = () => {
      keyAsked = null;
      const key = $.keyText.value.trim();
      const isGiven = dialog.returnValue === "use" && key !== "";
      if (isGiven) keepKey(key, $.keyStays.checked);
      resolve(isGiven);
    };
    dialog.showModal();
  });
  return keyAsked;
}

// The response to a request. One that nobody has asked for (`isQuiet`) asks for no key.
async function ask(path, { method = "GET", body, signal, isQuiet } = {}) {
  for (;;) {
    const headers = {};
    const key = apiKey();
    if (key) headers.Authorization = `Bearer ${key}`;
    if (typeof body === "string") headers["Content-Type"] = "application/json";
    let response;
    try {
      response = await fetch(path, { method, headers, body, signal });
    } catch (error) {
      throw isStopped(error) ? error : unreachable();
    }
    if (response.ok) return response;
    const told = await response.json().catch(() => null);
    const trouble = troubleOf(response.status, told?.error, Number(response.headers.get("Retry-After")));
    if (response.status !== 401 || isQuiet || !(await askForKey(trouble.words))) throw trouble;
  }
}

const askJson = async (path, options) => (await ask(path, options)).json();

const post = (path, value, signal) => ask(path, { method: "POST", body: JSON.stringify(value), signal });

// The data of a stream's events.
async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) if (line.startsWith("data: ")) yield line.slice(6);
  }
}

// Asks for an answer. `hear` is told of its text and of the prompt's progress as they come; what stands
// in `answer` is true at every moment, whatever happens then.
async function stream(body, answer, { signal, hear }) {
  Object.assign(answer, { text: "", pieces: 0, progress: null, usage: null, finish: null, receipt: null, rate: 0 });
  const asked = performance.now();
  const wanted = { ...body, stream: true, stream_options: { include_usage: true }, return_progress: true };
  const response = await post("v1/chat/completions", wanted, signal);
  let [first, last] = [0, 0];
  let isComplete = false;
  try {
    for await (const data of events(response)) {
      if (data === "[DONE]") {
        isComplete = true;
        continue;
      }
      const chunk = JSON.parse(data);
      if (chunk.error) throw troubleOf(500, chunk.error);
      answer.model = chunk.model;
      answer.fingerprint = chunk.system_fingerprint;
      answer.progress = chunk.prompt_progress ?? answer.progress;
      answer.usage = chunk.usage ?? answer.usage;
      const [choice] = chunk.choices;
      if (choice?.delta.content) {
        last = performance.now();
        first ||= last;
        answer.text += choice.delta.content;
        answer.pieces += 1;
      }
      answer.finish = choice?.finish_reason ?? answer.finish;
      answer.receipt = choice?.receipt ?? answer.receipt;
      const tokens = answer.usage?.completion_tokens ?? answer.pieces;
      // A few tokens in one packet have no speed.
      if (last - first > 10) answer.rate = ((tokens - 1) / (last - first)) * 1000;
      answer.seconds = (performance.now() - asked) / 1000;
      hear();
    }
  } catch (error) {
    throw error instanceof Trouble || isStopped(error) ? error : unreachable();
  }
  if (!isComplete) throw unreachable();
}
