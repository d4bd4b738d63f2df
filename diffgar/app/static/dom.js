// What the other scripts build the page with. Text is always set as text, so that nothing typed or read becomes markup.

export function make(tag, given = {}, ...children) {
  const element = document.createElement(tag);
  const { data = {}, on = {}, ...properties } = given;
  Object.assign(element, properties);
  Object.assign(element.dataset, data);
  for (const [event, heard] of Object.entries(on)) element.addEventListener(event, heard);
  element.append(...children.filter((child) => child !== null));
  return element;
}

export const clock = (seconds) => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;

export const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

// A canvas as sharp as the screen: its context, in CSS pixels, and its size.
export function sheet(canvas) {
  const { width, height } = canvas.getBoundingClientRect();
  const scale = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  const pen = canvas.getContext("2d");
  pen.scale(scale, scale);
  return { pen, width, height };
}
