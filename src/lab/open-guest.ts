/** Choose the embedded guest: the best kind that this machine allows, or the one asked for. */
import { UsageError } from '../network/errors.ts';
import { type EmbeddedGuest, GuestUnavailableError } from './guest/embedded-guest.ts';
import { KernelGuest } from './guest/kernel-guest.ts';
import { makePacketNamespace } from './guest/packet-namespace.ts';
import { makeTapNamespace } from './guest/tap-namespace.ts';

export interface OpenedGuest {
  readonly guest: EmbeddedGuest;
  /** Why the better kinds are not it; sentences for people. */
  readonly notes: readonly string[];
}

/** Names the one kind of guest to use. */
export const GUEST_VARIABLE = 'HAWSER_DEMO_GUEST';

type Kind = EmbeddedGuest['kind'];
/** The best first. */
const KINDS: readonly Kind[] = ['tap', 'packet', 'simulated'];

/**
 * @param simulate the last resort, where no namespace can be made
 * @param wanted the value of {@link GUEST_VARIABLE}: this kind or none
 * @throws GuestUnavailableError when there is no guest to be had
 * @throws UsageError when `wanted` names no kind
 */
export async function openGuest(
  simulate: (() => EmbeddedGuest) | undefined,
  wanted: string | undefined = process.env[GUEST_VARIABLE],
): Promise<OpenedGuest> {
  const kinds = KINDS.filter((kind) => !wanted || kind === wanted);
  if (kinds.length === 0) {
    throw new UsageError([`${GUEST_VARIABLE} ${wanted}: must be one of ${KINDS.join(', ')}`]);
  }
  const notes: string[] = [];
  for (const kind of kinds) {
    try {
      const guest = await makeGuest(kind, simulate);
      if (kind === 'simulated') {
        notes.push('the guest is simulated in this process: no second kernel is involved');
      }
      return { guest, notes };
    } catch (error) {
      if (!(error instanceof GuestUnavailableError)) throw error;
      notes.push(error.message);
    }
  }
  throw new GuestUnavailableError(notes.join('; '));
}

async function makeGuest(
  kind: Kind,
  simulate: (() => EmbeddedGuest) | undefined,
): Promise<EmbeddedGuest> {
  switch (kind) {
    case 'tap':
      return new KernelGuest(makeTapNamespace());
    case 'packet':
      return new KernelGuest(await makePacketNamespace());
    case 'simulated':
      if (simulate === undefined) throw new GuestUnavailableError('no guest can be simulated');
      return simulate();
  }
}
