/**
 * `/tunnel?ip=&port=` of gvproxy's API: the two bytes `OK` at once, then what a guest's TCP port says. Each direction ends by
 * itself; a port that cannot be reached ends the connection.
 */
import type { Duplex } from 'node:stream';
import type { Log } from '../../base/log.ts';
import type { Hijacker } from '../hijacked-requests.ts';
import { parseGoUint16 } from './go-number.ts';

export type DialGuest = (ip: string, port: number, signal: AbortSignal) => Promise<Duplex>;

/** @returns why a request gets an error, in the words of Go's `strconv` */
export function tunnelProblem(query: URLSearchParams): string | undefined {
  if ((query.get('ip') ?? '') === '') return 'ip is mandatory';
  const port = parseGoUint16(query.get('port') ?? '');
  return typeof port === 'string' ? port : undefined;
}

export const serveTunnel =
  (dial: DialGuest, log: Log): Hijacker =>
  (connection, { query }) => {
    const ip = query.get('ip') ?? '';
    const port = Number(query.get('port'));
    const left = new AbortController();
    connection.once('close', () => left.abort());
    connection.write('OK');
    dial(ip, port, left.signal).then(
      (guest) => join(connection, guest),
      (error: unknown) => {
        connection.destroy();
        const reason = error instanceof Error ? error.message : String(error);
        if (!left.signal.aborted) log.warn({ ip, port, reason }, 'cannot dial for a tunnel');
      },
    );
  };

function join(one: Duplex, other: Duplex): void {
  const ends = [
    [one, other],
    [other, one],
  ] as const;
  for (const [from, to] of ends) {
    from.on('error', () => to.destroy());
    from.once('close', () => {
      if (!from.readableEnded || !from.writableFinished) to.destroy();
    });
    from.pipe(to);
  }
}
