/** What the steps move, and how a transfer is judged. */
import type { Transfer } from '../../lab/guest/embedded-guest.ts';
import type { Outcome } from './step-runner.ts';

/** What the steps aim at. */
export interface StepPlan {
  readonly gateway: string;
  readonly hostIp: string;
  /** The file server's, on the host's loopback. */
  readonly port: number;
  readonly sizeBytes: number;
  readonly seed: number;
}

/** Of a file server, whatever its address. */
export const bytesPath = ({ sizeBytes, seed }: StepPlan): string =>
  `/bytes/${sizeBytes}?seed=${seed}`;

/**
 * @param note follows what is said of a success
 * @throws Error when bytes are missing or differ
 */
export function checkTransfer(
  { bytes, sha256, ms }: Transfer,
  sizeBytes: number,
  sum: string,
  note = '',
): Outcome {
  if (bytes !== sizeBytes) throw new Error(`${bytes} bytes of ${sizeBytes} arrived`);
  if (sha256 !== sum) throw new Error(`checksum differs: sha256 ${sha256}, expected ${sum}`);
  return { detail: `sha256 ${sum.slice(0, 12)}… equal${note}`, ms, bytes };
}
