/** `GET /extension/wait_port?ip=&port=[&timeout=]` of Lima's daemon: the answer comes when a guest's TCP port accepts. */
import { isIP } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { Deadline } from '../../native/deadline.ts';
import { EMPTY, errorAnswer, GoHttpError } from '../gvproxy/go-http.ts';
import { parseGoUint16 } from '../gvproxy/go-number.ts';
import type { DialGuest } from '../gvproxy/tunnel.ts';
import type { Answer } from '../route.ts';

export const WAIT_PORT_PATH = '/extension/wait_port';

const DEFAULT_TIMEOUT_S = 10;
const RETRY_MS = 1_000;
/** Of one attempt: the guest's kernel may not be there yet. */
const DIAL_MS = 3_000;

/** @param gone aborted when the client has left */
export async function waitPort(
  query: URLSearchParams,
  dial: DialGuest,
  gone: AbortSignal,
  retryMs: number = RETRY_MS,
): Promise<Answer> {
  const ip = query.get('ip') ?? '';
  if (isIP(ip) === 0) return failed(400, `invalid ip address: ${ip}`);
  const port = parseGoUint16(query.get('port') ?? '');
  if (typeof port === 'string') return failed(400, port);
  const given = query.get('timeout') ?? '';
  const timeoutS = given === '' ? DEFAULT_TIMEOUT_S : parseGoUint16(given);
  if (typeof timeoutS === 'string') return failed(400, timeoutS);
  const whole = new Deadline(timeoutS * 1_000, gone);
  try {
    if (await isAccepting(ip, port, dial, whole.signal, retryMs)) return EMPTY;
  } finally {
    whole.end();
  }
  return failed(408, `timed out waiting for port to become available on ${ip}:${port}`);
}

/** @returns false when `signal` has aborted before it was */
async function isAccepting(
  ip: string,
  port: number,
  dial: DialGuest,
  signal: AbortSignal,
  retryMs: number,
): Promise<boolean> {
  while (!signal.aborted) {
    const attempt = new Deadline(DIAL_MS, signal);
    try {
      const connection = await dial(ip, port, attempt.signal);
      connection.on('error', () => {});
      connection.end();
      connection.resume(); // and ends when the guest does
      return true;
    } catch {
      await delay(retryMs, undefined, { signal }).catch(() => {});
    } finally {
      attempt.end();
    }
  }
  return false;
}

const failed = (status: number, text: string): Answer => errorAnswer(new GoHttpError(status, text));
