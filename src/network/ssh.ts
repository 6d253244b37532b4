/** SSH forwards as a part of the network. */
import type { Log } from '../base/log.ts';
import type { Clock } from '../base/time.ts';
import type { FlowBook } from '../proxy/flows/flow-book.ts';
import type { StreamOrigin } from '../proxy/flows/stream-facts.ts';
import { SshForwards } from '../proxy/ssh/ssh-forwards.ts';
import { SshError, type SshLibrary } from '../proxy/ssh/ssh-library.ts';
import type { Stack } from '../stack/stack.ts';
import { messageOf } from './errors.ts';
import type { GuestStreams } from './guest-streams.ts';
import { distFile, importOwn } from './own-files.ts';

const BY_SSH: StreamOrigin = { openedBy: 'host', service: 'ssh' };

export interface SshDeps {
  readonly streams: GuestStreams;
  readonly stack: Stack;
  readonly book: FlowBook;
  readonly clock: Pick<Clock, 'now'>;
  readonly log: Log;
}

export const makeSshForwards = ({ streams, stack, book, clock, log }: SshDeps): SshForwards =>
  new SshForwards({
    ...{ book, clock, log },
    load: loadSshLibrary,
    dial: (guest, port, signal) => streams.dial({ guest: `${guest}`, port, signal }, BY_SSH),
    ownerOf: (guest) => stack.ownerOf(guest),
  });

/** A file of its own, also for the library: the SSH library is read by those alone who have forwards. */
async function loadSshLibrary(): Promise<SshLibrary> {
  let why = 'it is of another version';
  try {
    const module = await importOwn(distFile('bin/ssh-client.js'));
    if (isSshLibrary(module)) return module;
  } catch (error) {
    why = messageOf(error); // a program that another bundler has made lacks it
  }
  const advice = 'install hawser beside the program rather than into its bundle';
  throw new SshError(
    'no-library',
    `cannot load hawser's dist/bin/ssh-client.js: ${why}; ${advice}`,
  );
}

const isSshLibrary = (module: unknown): module is SshLibrary =>
  typeof module === 'object' && module !== null && 'identify' in module;
