// The keyboard: arrows choose a hit, space plays it, / goes to the caption, Escape leaves a field.

export function listen(hits, player, caption) {
  document.addEventListener("keydown", (event) => {
    const inField = event.target.matches("input[type=text], textarea");
    if (event.key === "Escape" && inField) return event.target.blur();
    if (event.target === caption && event.key === "ArrowDown") caption.blur();
    else if (inField || event.target.matches("input, select") || event.ctrlKey || event.metaKey || event.altKey)
      return null;
    return act(event, hits, player, caption);
  });
}

function act(event, hits, player, caption) {
  if (event.key === "/") caption.focus();
  else if (event.key === "ArrowDown") hits.choose(hits.chosen + 1);
  else if (event.key === "ArrowUp") hits.choose(hits.chosen - 1);
  else if (event.key === " " && !event.target.matches("button")) player.toggle(hits.hits[hits.chosen]);
  else return;
  event.preventDefault();
}
