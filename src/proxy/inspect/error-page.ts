/** Answers to requests of HTTP/1 that are not served, for whoever has made them. */

export const REASONS = {
  400: 'Bad Request',
  403: 'Forbidden',
  502: 'Bad Gateway',
  504: 'Gateway Timeout',
} as const;
export type PageStatus = keyof typeof REASONS;

const MAX_TEXT = 512;
export const PAGE_TYPE = 'text/plain; charset=us-ascii';

export const pageText = (why: string): string =>
  `${why.replace(/[^\x20-\x7e]/g, '?').slice(0, MAX_TEXT)}\n`;

export function errorPage(status: PageStatus, why: string): Uint8Array<ArrayBuffer> {
  const body = pageText(why);
  const head = [
    `HTTP/1.1 ${status} ${REASONS[status]}`,
    `Content-Type: ${PAGE_TYPE}`,
    `Content-Length: ${body.length}`,
    'Cache-Control: no-store',
    'Connection: close',
  ];
  return Uint8Array.from(`${head.join('\r\n')}\r\n\r\n${body}`, (c) => c.charCodeAt(0));
}
