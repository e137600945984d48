// Summaries of files: each is a question of its own, and the server answers several together.

// A browser has six connections to a server; some are left for the rest of the page.
const TOGETHER = 4;
const MOST_TRIES = 20;
const MOST_TOKENS = { "in one sentence": 96, "as a list of bullet points": 384 };
const rows = [];
let work = null;

// A text's bytes as text; none if they are none.
async function textOf(file) {
  const bytes = await file.arrayBuffer();
  let text;
  try {
    const [a, b] = new Uint8Array(bytes);
    const wide = { fffe: "utf-16le", feff: "utf-16be" }[((a << 8) | b).toString(16)];
    text = new TextDecoder(wide ?? "utf-8", { fatal: true }).decode(bytes);
  } catch {
    text = new TextDecoder("windows-1252").decode(bytes);
  }
  if (text.includes("\0")) throw new Trouble("this is not text", "Save it as text, Markdown or HTML first.");
  return /\.x?html?$/i.test(file.name) || file.type === "text/html" ? textOfHtml(text) : text;
}

const parsing = globalThis.trustedTypes?.createPolicy("html-as-text", { createHTML: (html) => html }) ?? { createHTML: (html) => html };

// The text of a page. It is parsed where no script runs and nothing is loaded.
function textOfHtml(html) {
  const page = new DOMParser().parseFromString(parsing.createHTML(html), "text/html");
  page.querySelectorAll("script, style, noscript, template, head").forEach((element) => element.remove());
  page.querySelectorAll("br, p, div, li, tr, table, section, article, pre, blockquote, h1, h2, h3, h4, h5, h6").forEach((element) => element.after("\n"));
  return page.documentElement.textContent.replace(/[ \t]+/g, " ").replace(/\s*\n\s*/g, "\n");
}

function addFiles(files) {
  for (const file of files) {
    const row = { file, state: "waiting", cells: [el("th", { scope: "row" }, file.name), el("td", { className: "number" }), el("td"), el("td")] };
    row.cells.slice(1).forEach((cell, at) => (cell.dataset.name = ["Tokens", "State", "Summary"][at]));
    rows.push(row);
    $("summaries").tBodies[0].append(el("tr", {}, row.cells));
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
  tell($("summarize-total"), rows.length ? parts.filter((part) => part).join(", ") : null);
  $("summaries").hidden = !rows.length;
  $("summarize-start").hidden = work !== null;
  $("summarize-start").disabled = !open;
  $("summarize-stop").hidden = work === null;
  $("summarize-retry").hidden = work !== null || !n("failed");
  $("summarize-save").disabled = !n("done") && !failed;
  $("summarize-clear").disabled = work !== null || !rows.length;
}

// The whole instruction, in the words of gatefold summarize.
function instructionIn(form) {
  const [own, length] = [form.elements.instruction.value.trim(), form.elements.length.value];
  if (own) return length ? `${own} Answer ${length}.` : own;
  return length ? `Summarize this text ${length}.` : "Summarize this text.";
}

async function summarizeAll(states) {
  const form = $("summary-form");
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
  announce($("summarize-total").textContent);
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
    await patiently(() => stream(body, row, { signal, hear: () => drawRow(row) }), signal);
    setState(row, "done");
  } catch (error) {
    if (isStopped(error)) setState(row, "stopped");
    else setState(row, error.code === "context_length_exceeded" ? "too long" : "failed", troubleWith(error));
  }
}

function troubleWith(error) {
  if (error.code !== "context_length_exceeded") return error.words ?? String(error);
  return `${error.message}. gatefold summarize reads long files in parts.`;
}

// Asks again where the server has no place for now.
async function patiently(op, signal) {
  for (let tries = 1; ; tries += 1) {
    try {
      return await op();
    } catch (error) {
      if (!error.retryAfter || tries === MOST_TRIES) throw error;
      await new Promise((resolve) => {
        const timer = setTimeout(resolve, error.retryAfter * 1000);
        signal.addEventListener("abort", () => resolve(clearTimeout(timer)), { once: true });
      });
      signal.throwIfAborted();
    }
  }
}

function lineOf(row) {
  if (row.state !== "done") return { id: row.file.name, error: row.trouble };
  const { text, model, usage, seconds, finish, fingerprint, receipt } = row;
  return { id: row.file.name, summary: text, model, prompt_tokens: usage?.prompt_tokens, summary_tokens: usage?.completion_tokens, seconds, finish_reason: finish, system_fingerprint: fingerprint, receipt };
}

function startSummaries() {
  const [drop, files] = [$("drop"), $("files")];
  $("choose").onclick = () => files.click();
  files.onchange = () => {
    addFiles(files.files);
    files.value = "";
  };
  for (const name of ["dragover", "dragleave", "drop"]) {
    drop.addEventListener(name, (event) => {
      event.preventDefault();
      drop.classList.toggle("over", name === "dragover");
      if (name === "drop") addFiles(event.dataTransfer.files);
    });
  }
  // A file that misses the place is not to take the page away.
  for (const name of ["dragover", "drop"]) addEventListener(name, (event) => event.preventDefault());
  $("summary-form").onsubmit = (event) => {
    event.preventDefault();
    summarizeAll(["waiting", "stopped"]);
  };
  $("summarize-stop").onclick = () => work?.abort();
  $("summarize-retry").onclick = () => summarizeAll(["failed"]);
  $("summarize-save").onclick = () => {
    const lines = rows.filter(({ state }) => ["done", "failed", "too long"].includes(state)).map((row) => `${JSON.stringify(lineOf(row))}\n`);
    save("summaries.jsonl", lines.join(""), "application/jsonl");
  };
  $("summarize-clear").onclick = () => {
    rows.length = 0;
    $("summaries").tBodies[0].replaceChildren();
    drawTotal();
  };
  addEventListener("beforeunload", (event) => work && event.preventDefault());
}
