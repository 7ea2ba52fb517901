// text sets an element's text, by id, and leaves it alone if it is that already.
export function text(id, what) {
  const element = typeof id === 'string' ? document.getElementById(id) : id;
  if (element.textContent !== what) element.textContent = what;
}

// make makes an element with a class and a text.
export function make(tag, className = '', what = '') {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (what) element.textContent = what;
  return element;
}
