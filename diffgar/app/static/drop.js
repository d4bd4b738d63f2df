// Searching by an audio file: dropped anywhere on the page, or chosen.

export function listen({ overlay, picker, library, found, complain }) {
  const taken = (file) => file && send(file, library(), found, complain);
  let depth = 0;
  const entered = (by) => {
    depth += by;
    overlay.hidden = depth <= 0;
  };
  document.addEventListener("dragenter", () => entered(1));
  document.addEventListener("dragleave", () => entered(-1));
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    entered(-depth);
    taken(event.dataTransfer.files[0]);
  });
  picker.addEventListener("change", () => {
    taken(picker.files[0]);
    picker.value = "";
  });
}

async function send(file, library, found, complain) {
  if (!library) return complain("the model is still being opened; drop the file in a moment");
  if (file.size > library.largest) return complain(`${file.name}: ${library.too_large}`);
  const headers = { "content-type": "application/octet-stream" };
  const answer = await fetch(`/drop?name=${encodeURIComponent(file.name)}`, { method: "POST", body: file, headers });
  const told = await answer.json();
  return answer.ok ? found(told.token, file.name) : complain(`${file.name}: ${told.sentence}`);
}
