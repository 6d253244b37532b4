import type { ProxyFailure } from '../../services/upstream-proxy/handshake.ts';
import type { PageStatus } from '../inspect/error-page.ts';

/** A request is answered by a page, whose text is the message. */
export class PageError extends Error {
  readonly status: PageStatus;

  constructor(status: PageStatus, why: string) {
    super(why);
    this.status = status;
  }
}

/** Of the page for a connection that a proxy has not granted. */
export function pageStatusOf({
  code,
  status,
}: Pick<ProxyFailure, 'code' | 'status'>): 403 | 502 | 504 {
  if (code === 'ETIMEDOUT') return 504;
  return status === 403 ? 403 : 502;
}

/** Of a request that was passed on, and failed. */
export function pageErrorOf(error: unknown, what: string): PageError {
  if (error instanceof PageError) return error;
  return new PageError(502, `${what}: ${error instanceof Error ? error.message : String(error)}`);
}
