// The list of chats.

function drawChats() {
  const sorted = [...chats.values()].sort((a, b) => b.changed - a.changed);
  $.chats.replaceChildren(...sorted.map((chat) => {
    const title = chat.title || "Untitled";
    const show = button(title, () => openChat(chat), { className: "title", title });
    if (chat === current) show.ariaCurrent = "true";
    return el("li", {}, show, button("×", () => deleteChat(chat), { ariaLabel: `Delete ${title}`, title: "Delete" }));
  }));
}

function openChat(chat) {
  showChat(chat);
  showSidebar(false);
  $.question.focus();
}

// One with the settings of the chat before.
function beginChat() {
  openChat(newChat({ ...current.settings }));
}

function deleteChat(chat) {
  if (!confirm(`Delete “${chat.title || "Untitled"}”? It is kept nowhere else.`)) return;
  running.get(chat)?.abort();
  forget(chat);
  if (chat === current) beginChat();
  else drawChats();
}

// On narrow screens the list lies over the chat.
function showSidebar(isShown) {
  $.sidebar.classList.toggle("open", isShown);
  $.showChats.ariaExpanded = String(isShown);
  if (isShown) $.newChat.focus();
}

// A page that goes away has no time for the database; what that does not have is kept beside it.
const keepOpen = () => memory.set("open", exported(new Set([...unkept, ...running.keys()])));

async function startChats() {
  if (!(await openStore())) $.chats.before(el("p", { className: "hint" }, "This browser keeps no chats beyond this visit."));
  $.newChat.onclick = beginChat;
  $.showChats.onclick = () => showSidebar(!$.sidebar.classList.contains("open"));
  $.export.onclick = () => save("gatefold-chats.json", exported(chats.values()));
  $.import.onclick = () => choose({ accept: ".json" }, async (file) => {
    try {
      const n = importChats(await file.text());
      alert(n ? `${counted(n, "chat")} imported.` : "There is nothing in the file that is not here already.");
      if (chats.has(current.id)) showChat(chats.get(current.id));
      else drawChats();
    } catch (error) {
      alert(wordsOf(error));
    }
  });
  addEventListener("pagehide", keepOpen);
  importChats(memory.get("open") ?? exported([]));
  showChat(chats.get(memory.get("chat")) ?? newChat({}));
}
