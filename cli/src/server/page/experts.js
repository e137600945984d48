// Where tokens go: how many each expert of each layer has taken, by the server's own counts.

const counters = async () => (await ask("metrics", { isQuiet: true })).text();

const counterIn = (page, name) => Number(new RegExp(`^gatefold_${name} (\\d+)`, "m").exec(page)?.[1] ?? 0);

// Tokens by layer and expert.
function loadsIn(page) {
  const loads = [];
  for (const [, layer, expert, n] of page.matchAll(/^gatefold_expert_tokens_total{layer="(\d+)",expert="(\d+)"} (\d+)/gm)) {
    (loads[layer] ??= [])[expert] = Number(n);
  }
  return loads;
}

// What the server has counted from the last question in the chat to the end of its answer.
let loadsOfAnswer = [];

async function watchLoads(answer) {
  const glance = () => counters().then(loadsIn, () => []);
  const before = await glance();
  try {
    await answer();
  } finally {
    glance().then((now) => {
      if (now.length === before.length) loadsOfAnswer = now.map((experts, layer) => experts.map((n, expert) => n - before[layer][expert]));
    });
  }
}

const sumOf = (counts) => counts.reduce((sum, n) => sum + n, 0);

const percent = (share) => `${(100 * share).toFixed(share > 0 && share < 0.0995 ? 1 : 0)}%`;

function inWords(share, even) {
  const words = ["next to nothing", "less than even", "about even", "more than even", "twice even or more"];
  return words[[0.25, 0.8, 1.25, 2].filter((end) => share >= end * even).length];
}

// Why there is nothing to be seen, if so.
function whyNoLoads([experts], isOfAnswer) {
  if (experts?.length === 1) return "This model is dense: every token takes the same way, and there is nothing to route.";
  if (experts && sumOf(experts)) return null;
  return isOfAnswer ? "The chat has no answer yet since this page was opened." : "No token was computed yet.";
}

function drawLoads(page) {
  if ($.viewExperts.hidden) return;
  const isOfAnswer = $.loadsOf.value === "answer";
  const now = loadsIn(page);
  const loads = isOfAnswer && now[0]?.length > 1 ? loadsOfAnswer : now;
  const why = whyNoLoads(loads, isOfAnswer);
  tell($.loadsNote, why);
  $.loadsFound.hidden = why !== null;
  if (why) return;
  const [n, topK] = [loads[0].length, counterIn(page, "experts_per_token")];
  const even = topK / n;
  const shares = loads.map((experts) => experts.map((load) => (load * topK) / sumOf(experts)));
  const all = shares.flat();
  const [least, most] = [Math.min(...all), Math.max(...all)];
  const top = Math.min(1, Math.max(2 * even, most));
  const place = (share) => `expert ${all.indexOf(share) % n} of layer ${Math.floor(all.indexOf(share) / n)} (${percent(share)})`;
  $.loadsTotal.textContent = `${counted(sumOf(loads[0]) / topK, "token")}. Most go to ${place(most)}, fewest to ${place(least)}.`;
  $.loadsTop.textContent = percent(top);
  $.loadsEven.textContent = `even: ${topK}/${n} = ${percent(even)}`;
  $.loadsEven.style.setProperty("--v", even / top);
  const { rows, style } = $.loads;
  // Cells that are there already stay, and with them the place of whoever reads.
  if (rows.length !== loads.length + 1 || rows[0].cells.length !== n + 1) {
    const head = loads[0].map((_, expert) => el("th", { scope: "col" }, expert));
    const layers = loads.map((experts, layer) => el("tr", {}, el("th", { scope: "row" }, layer), experts.map(() => el("td"))));
    $.loads.replaceChildren(el("tr", {}, el("th", {}, "Layer"), head), ...layers);
    style.setProperty("--n", n + 1);
  }
  shares.forEach((experts, layer) => experts.forEach((share, expert) => {
    const cell = rows[layer + 1].cells[expert + 1];
    cell.replaceChildren(percent(share), el("span", { className: "unseen" }, `, ${inWords(share, even)}`));
    cell.style.setProperty("--v", share / top);
  }));
}
