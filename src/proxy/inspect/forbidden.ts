/** The answer to a request of HTTP/1 that is not allowed, for whoever has made it. */

const MAX_TEXT = 512;

export function forbidden(why: string): Uint8Array<ArrayBuffer> {
  const body = `${printable(why).slice(0, MAX_TEXT)}\n`;
  const head = [
    'HTTP/1.1 403 Forbidden',
    'Content-Type: text/plain; charset=us-ascii',
    `Content-Length: ${body.length}`,
    'Cache-Control: no-store',
    'Connection: close',
  ];
  return Uint8Array.from(`${head.join('\r\n')}\r\n\r\n${body}`, (c) => c.charCodeAt(0));
}

const printable = (text: string): string => text.replace(/[^\x20-\x7e]/g, '?');
