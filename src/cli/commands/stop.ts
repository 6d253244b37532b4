/** `hawser stop`: ask a running daemon to end, and wait until it has. */
import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { ApiClientError } from '../../control/client.ts';
import { isAlive } from '../../control/path-lock.ts';
import { infoSchema, shutdownSchema } from '../../control/schema.ts';
import { RunError } from '../../network/errors.ts';
import { clientOf, type InspectRequest, toJson } from './inspect.ts';

const POLL_MS = 50;
/** Longer than the daemon takes for a graceful end. */
const PATIENCE_MS = 10_000;

/** @returns what to print */
export async function stopCommand(request: InspectRequest): Promise<string> {
  const client = clientOf(request);
  const { name, pid } = await client.get('/v1/info', infoSchema);
  await client.post('/v1/shutdown', shutdownSchema);
  const isHere = request.api === undefined || request.api.startsWith('unix:');
  const isUp = async (): Promise<boolean> => {
    if (isHere) return isAlive(pid) && !isZombie(pid);
    try {
      await client.get('/v1/info', infoSchema);
      return true;
    } catch (error) {
      if (error instanceof ApiClientError && error.status === 0) return false;
      throw error;
    }
  };
  for (let waitedMs = 0; await isUp(); waitedMs += POLL_MS) {
    if (waitedMs >= PATIENCE_MS) {
      throw new RunError(`hawser (process ${pid}) does not end: see its log, or kill it`);
    }
    await delay(POLL_MS);
  }
  return request.json
    ? toJson({ stopped: true, name, pid })
    : `${name} (process ${pid}) has ended\n`;
}

/** Ended, and not waited for by its parent. */
function isZombie(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return stat.slice(stat.lastIndexOf(')') + 2).startsWith('Z');
  } catch {
    return false; // no /proc here
  }
}
