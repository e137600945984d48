// Summaries of files: each is a question of its own, and the server answers several together.

// A browser has six connections to a server; some are left for the rest of the page.
const TOGETHER = 4;
const PAUSE = 2000;
const MOST_TOKENS = { "in one sentence": 96, "as a list of bullet points": 384 };
const rows = [];
let work = null;

// A text's bytes as text; none if they are none.
async function textOf(file) {
  const bytes = new Uint8Array(await file.arrayBuffer());
  const encoding = { 0xfe: "utf-16be", 0xff: "utf-16le" }[bytes[0]] ?? "utf-8";
  let text;
  try {
    text = new TextDecoder(encoding, { fatal: true }).decode(bytes);
  } catch {
    text = new TextDecoder("windows-1252").decode(bytes);
  }
  if (text.includes("\0")) throw new Trouble("this is not text", "Save it as text, Markdown or HTML first.");
  return /\.x?html?$/i.test(file.name) || file.type === "text/html" ? textOfHtml(text) : text;
}

const asIs = { createHTML: (html) => html };
const parsing = globalThis.trustedTypes?.createPolicy("html-as-text", asIs) ?? asIs;

// The text of a page. Of its elements nothing is parsed: the policy would speak against their styles.
function textOfHtml(html) {
  const text = html
    .replace(/<!--[^]*?-->|<(head|script|style|template)\b[^]*?<\/\1\s*>/gi, "")
    .replace(/<(br|p|div|li|tr|pre|section|h\d)\b[^>]*>/gi, "\n")
    .replace(/<[^>]*>/g, "")
    .replaceAll("<", "&lt;");
  const page = new DOMParser().parseFromString(parsing.createHTML(text), "text/html");
  return page.body.textContent.replace(/\s*\n\s*/g, "\n");
}

function addFiles(...files) {
  for (const file of files) {
    const cells = [el("th", { scope: "row" }, file.name), cell("Tokens", { className: "number" }), cell("State"), cell("Summary")];
    const row = { file, state: "waiting", cells };
    rows.push(row);
    $.summaries.tBodies[0].append(el("tr", {}, cells));
    drawRow(row);
  }
  drawTotal();
}

function drawRow(row) {
  const [, tokens, state, text] = row.cells;
  const { usage, progress, state: is } = row;
  const n = usage?.prompt_tokens ?? progress?.total;
  tokens.textContent = n ? number(n) : "";
  const isReading = is === "working" && !row.text && progress;
  state.textContent = isReading ? `reading ${Math.floor((100 * progress.processed) / progress.total)}%` : is;
  state.className = is.replace(" ", "-");
  const note = row.finish === "length" && is === "done" ? " … (cut off at the limit of tokens)" : "";
  text.textContent = row.trouble ?? (row.text ?? "") + note;
}

function drawTotal() {
  const n = (state) => rows.filter((row) => row.state === state).length;
  const written = rows.reduce((sum, { usage }) => sum + (usage?.completion_tokens ?? 0), 0);
  const failed = n("failed") + n("too long");
  const open = n("waiting") + n("stopped");
  const parts = [`${number(n("done"))} of ${counted(rows.length, "file")} done`, failed && `${number(failed)} without a summary`, written && `${counted(written, "token")} written`];
  tell($.summarizeTotal, rows.length ? parts.filter((part) => part).join(", ") : null);
  $.summaries.hidden = !rows.length;
  $.summarizeStart.hidden = work !== null;
  $.summarizeStart.disabled = !open;
  $.summarizeStop.hidden = work === null;
  $.summarizeRetry.hidden = work !== null || !n("failed");
  $.summarizeSave.disabled = !n("done") && !failed;
  $.summarizeClear.disabled = work !== null || !rows.length;
}

// The whole instruction, in the words of gatefold summarize.
function instructionIn(form) {
  const [own, length] = [form.elements.instruction.value.trim(), form.elements.length.value];
  if (own) return length ? `${own} Answer ${length}.` : own;
  return length ? `Summarize this text ${length}.` : "Summarize this text.";
}

async function summarizeAll(states) {
  const form = $.summaryForm;
  if (work || !form.reportValidity()) return;
  const length = form.elements.length.value;
  const max_tokens = form.elements.max_tokens.valueAsNumber || (MOST_TOKENS[length] ?? 256);
  const asked = { instruction: instructionIn(form), max_tokens, temperature: 0 };
  for (const row of rows) if (states.includes(row.state)) row.state = "waiting";
  work = new AbortController();
  drawTotal();
  const workers = Array.from({ length: TOGETHER }, async () => {
    for (;;) {
      const row = rows.find(({ state }) => state === "waiting");
      if (!row || work.signal.aborted) return;
      await summarize(row, asked, work.signal);
      drawTotal();
    }
  });
  await Promise.all(workers);
  for (const row of rows.filter(({ state }) => state === "waiting")) setState(row, "stopped");
  work = null;
  drawTotal();
  announce($.summarizeTotal.textContent);
}

function setState(row, state, trouble) {
  Object.assign(row, { state, trouble });
  drawRow(row);
}

async function summarize(row, { instruction, ...settings }, signal) {
  setState(row, "working");
  try {
    const text = (await textOf(row.file)).trim();
    if (!text) throw new Trouble("there is no text in it");
    const body = { messages: [{ role: "user", content: `${instruction}\n\n${text}` }], ...settings };
    await stream(body, row, { signal, hear: () => drawRow(row) });
    setState(row, "done");
  } catch (error) {
    if (isStopped(error)) return setState(row, "stopped");
    // The server has no place for now.
    if (error.retryAfter) {
      await pause(PAUSE);
      setState(row, "waiting");
    } else if (error.code !== "context_length_exceeded") {
      setState(row, "failed", wordsOf(error));
    } else {
      setState(row, "too long", `${error.message}. The command gatefold summarize reads long files in parts.`);
    }
  }
}

function lineOf(row) {
  if (row.state !== "done") return { id: row.file.name, error: row.trouble };
  const { text, model, usage, seconds, finish, fingerprint, receipt } = row;
  return { id: row.file.name, summary: text, model, prompt_tokens: usage?.prompt_tokens, summary_tokens: usage?.completion_tokens, seconds, finish_reason: finish, system_fingerprint: fingerprint, receipt };
}

function startSummaries() {
  const { drop } = $;
  $.choose.onclick = () => choose({ multiple: true }, addFiles);
  for (const name of ["dragover", "dragleave", "drop"]) {
    drop.addEventListener(name, (event) => {
      event.preventDefault();
      drop.classList.toggle("over", name === "dragover");
      if (name === "drop") addFiles(...event.dataTransfer.files);
    });
  }
  // A file that misses the place is not to take the page away.
  for (const name of ["dragover", "drop"]) addEventListener(name, (event) => event.preventDefault());
  $.summaryForm.onsubmit = (event) => {
    event.preventDefault();
    summarizeAll(["waiting", "stopped"]);
  };
  $.summarizeStop.onclick = () => work?.abort();
  $.summarizeRetry.onclick = () => summarizeAll(["failed"]);
  $.summarizeSave.onclick = () => {
    const lines = rows.filter(({ state }) => ["done", "failed", "too long"].includes(state)).map((row) => `${JSON.stringify(lineOf(row))}\n`);
    save("summaries.jsonl", lines.join(""));
  };
  $.summarizeClear.onclick = () => {
    rows.length = 0;
    $.summaries.tBodies[0].replaceChildren();
    drawTotal();
  };
  addEventListener("beforeunload", (event) => work && event.preventDefault());
}
