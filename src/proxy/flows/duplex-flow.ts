/** A guest's connection to code of this process, as a Node stream, in the book until it closes. */
import type { Duplex } from 'node:stream';
import type { Guest } from '../../stack/guest.ts';
import { StreamError } from '../stream/stream-error.ts';
import type { FlowFacts } from './flow.ts';
import type { FlowBook } from './flow-book.ts';

export function bookDuplex(
  book: FlowBook,
  duplex: Duplex,
  owner: Guest | undefined,
  describeFlow: () => FlowFacts,
): void {
  const entry = book.add('tcp', owner, undefined, {
    describeFlow,
    endFlow: () => duplex.destroy(new StreamError('reset-by-host', 'it was asked to end')),
  });
  duplex.once('close', () => book.end(entry, endOf(duplex.errored)));
}

function endOf(error: Error | null): string {
  if (error === null) return 'finished';
  return error instanceof StreamError ? error.reason : error.message;
}
