import type { PageStatus } from '../inspect/error-page.ts';

/** A request is answered by a page, whose text is the message. */
export class PageError extends Error {
  readonly status: PageStatus;

  constructor(status: PageStatus, why: string) {
    super(why);
    this.status = status;
  }
}
