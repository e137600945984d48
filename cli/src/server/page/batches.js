// Batches: lines of requests that the server answers when nobody waits, by OpenAI's API.

const MOVING = ["validating", "in_progress", "finalizing", "cancelling"];
const PAUSE = 2000;
let looking = 0;

async function showBatches() {
  clearTimeout(looking);
  try {
    const { data } = await askJson("v1/batches?limit=100");
    tell($("batch-note"), data.length ? null : "There are no batches yet.");
    $("batches").hidden = !data.length;
    drawBatches(data);
    if (data.some(({ status }) => MOVING.includes(status))) looking = setTimeout(lookAgain, PAUSE);
  } catch (error) {
    tell($("batch-note"), error.words ?? String(error));
  }
}

function lookAgain() {
  if (!$("view-batches").hidden && !document.hidden) showBatches();
}

// Draws the list; a row that says the same stays, and with it the focus.
function drawBatches(batches) {
  const body = $("batches").tBodies[0];
  const old = new Map(Array.from(body.rows, (row) => [row.said, row]));
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
  const faults = (batch.errors?.data ?? []).slice(0, 3).map(({ line, message }) => el("p", { className: "hint" }, line ? `Line ${line}: ${message}` : message));
  const results = [];
  const get = (label, id) => id && results.push(button(label, (event) => download(id, `${batch.id}-${label.toLowerCase()}.jsonl`, event.target)));
  get("Output", batch.output_file_id);
  get("Errors", batch.error_file_id);
  if (MOVING.slice(0, 2).includes(batch.status)) results.push(button("Cancel", () => cancelBatch(batch)));
  const cell = (name, ...children) => {
    const made = el("td", {}, children);
    made.dataset.name = name;
    return made;
  };
  return el("tr", {},
    el("th", { scope: "row" }, batch.id, el("p", { className: "hint" }, `${batch.endpoint}, ${when}`)),
    cell("State", batch.status.replace("_", " "), faults),
    cell("Progress", bar, " ", counts),
    cell("Results", results));
}

async function download(id, name, press) {
  press.disabled = true;
  await withNote(async () => save(name, await (await ask(`v1/files/${encodeURIComponent(id)}/content`)).blob()));
  press.disabled = false;
}

async function cancelBatch({ id }) {
  await withNote(() => ask(`v1/batches/${encodeURIComponent(id)}/cancel`, { method: "POST" }));
  showBatches();
}

async function withNote(op) {
  try {
    await op();
    tell($("batch-note"), null);
  } catch (error) {
    tell($("batch-note"), error.words ?? String(error));
  }
}

// Which endpoint the first request of a file is for.
async function endpointOf(file) {
  const [line] = (await file.slice(0, 1 << 22).text()).split("\n");
  try {
    return JSON.parse(line).url ?? "/v1/chat/completions";
  } catch {
    throw new Trouble("the first line of the file is not JSON", "Expected a request on each line, as OpenAI's batch API has them.");
  }
}

async function startBatch(file) {
  const body = new FormData();
  body.append("purpose", "batch");
  body.append("file", file);
  const endpoint = await endpointOf(file);
  tell($("batch-note"), `${file.name} is being sent.`);
  const { id } = await askJson("v1/files", { method: "POST", body });
  await post("v1/batches", { input_file_id: id, endpoint, completion_window: "24h" });
}

function startBatches() {
  $("batch-choose").onclick = () => $("batch-file").click();
  $("batch-refresh").onclick = showBatches;
  $("batch-file").onchange = async ({ target }) => {
    const [file] = target.files;
    target.value = "";
    if (!file) return;
    try {
      await startBatch(file);
      showBatches();
    } catch (error) {
      tell($("batch-note"), error.words ?? String(error));
    }
  };
  document.addEventListener("visibilitychange", lookAgain);
}
