// Batches: lines of requests that the server answers when nobody waits, by OpenAI's API.

const MOVING = ["validating", "in_progress", "finalizing", "cancelling"];
let looking = 0;

async function showBatches() {
  clearTimeout(looking);
  try {
    const { data } = await askJson("v1/batches?limit=100");
    tell($.batchNote, data.length ? null : "There are no batches yet.");
    $.batches.hidden = !data.length;
    drawBatches(data);
    if (data.some(({ status }) => MOVING.includes(status))) looking = setTimeout(lookAgain, PAUSE);
  } catch (error) {
    tell($.batchNote, wordsOf(error));
  }
}

function lookAgain() {
  if (!$.viewBatches.hidden && !document.hidden) showBatches();
}

// Draws the list; a row that says the same stays, and with it the focus.
function drawBatches(batches) {
  const body = $.batches.tBodies[0];
  const old = new Map([...body.rows].map((row) => [row.said, row]));
  body.replaceChildren(...batches.map((batch) => {
    const said = JSON.stringify(batch);
    return old.get(said) ?? Object.assign(drawBatch(batch), { said });
  }));
}

function drawBatch(batch) {
  const { completed = 0, failed = 0, total = 0 } = batch.request_counts ?? {};
  const bar = el("progress", { max: total || 1, value: completed + failed, ariaLabel: "Requests answered" });
  const counts = `${number(completed)} of ${number(total)}${failed ? `, ${number(failed)} failed` : ""}`;
  const when = new Date(batch.created_at * 1000).toLocaleString();
  const faults = (batch.errors?.data ?? []).slice(0, 3).map(({ message }) => el("p", { className: "hint" }, message));
  const results = [];
  const get = (label, id) => id && results.push(button(label, () => download(id, `${batch.id}-${label.toLowerCase()}.jsonl`)));
  get("Output", batch.output_file_id);
  get("Errors", batch.error_file_id);
  if (MOVING.slice(0, 2).includes(batch.status)) results.push(button("Cancel", () => cancelBatch(batch)));
  return el("tr", {},
    el("th", { scope: "row" }, batch.id, el("p", { className: "hint" }, `${batch.endpoint}, ${when}`)),
    cell("State", {}, batch.status.replace("_", " "), faults),
    cell("Progress", {}, bar, " ", counts),
    cell("Results", {}, results));
}

const download = (id, name) => withNote(async () => save(name, await (await ask(`v1/files/${id}/content`)).blob()));

async function cancelBatch({ id }) {
  await withNote(() => ask(`v1/batches/${id}/cancel`, { method: "POST" }));
  showBatches();
}

async function withNote(op) {
  try {
    await op();
    tell($.batchNote, null);
  } catch (error) {
    tell($.batchNote, wordsOf(error));
  }
}

async function startBatch(file) {
  const body = new FormData();
  body.append("purpose", "batch");
  body.append("file", file);
  // All requests of a batch are for one endpoint: that of the first.
  const start = await file.slice(0, 1 << 22).text();
  const endpoint = /"url"\s*:\s*"([^"]*)"/.exec(start)?.[1] ?? "/v1/chat/completions";
  tell($.batchNote, `${file.name} is being sent.`);
  const { id } = await askJson("v1/files", { method: "POST", body });
  await post("v1/batches", { input_file_id: id, endpoint, completion_window: "24h" });
}

function startBatches() {
  $.batchRefresh.onclick = showBatches;
  $.batchChoose.onclick = () => choose({ accept: ".jsonl,.ndjson" }, (file) => withNote(async () => {
    await startBatch(file);
    showBatches();
  }));
  document.addEventListener("visibilitychange", lookAgain);
}
