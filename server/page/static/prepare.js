// What depends on the page's address alone: links, commands and the QR code.

import { address, displayMode } from './address.js';
import { make, text } from './dom.js';

export function prepare(query) {
  document.body.classList.toggle('display', displayMode);
  document.querySelector('main').hidden = false;
  const game = new URLSearchParams(query).get('game');
  text('game', game ? ` · ${game}` : '');
  for (const link of document.querySelectorAll('a[data-game], #download')) link.href = address(link.getAttribute('href'));
  document.getElementById('display').href = displayMode ? query || '.' : `${query || '?'}${query ? '&' : ''}display`;
  text('display', displayMode ? 'Page' : 'Display mode');

  const here = new URL(location.pathname + query, location.origin);
  text('start-go', `SERVER_URL='${here}' client`);
  const qr = document.getElementById('qr');
  qr.onload = () => { qr.hidden = false; };
  const code = new URL('page/qr.svg', document.baseURI);
  code.searchParams.set('text', here);
  qr.src = code;
  for (const p of document.querySelectorAll('.command')) p.append(copyButton(p.firstElementChild));
}

// copyButton copies a command, or selects it where a page may not copy.
function copyButton(code) {
  const button = make('button', '', 'Copy');
  button.type = 'button';
  button.onclick = async () => {
    try {
      await navigator.clipboard.writeText(code.textContent);
      text(button, 'Copied');
      setTimeout(() => text(button, 'Copy'), 2_000);
    } catch {
      getSelection().selectAllChildren(code);
    }
  };
  return button;
}
