/** The load generator `bench/tools/netbench.c`: each run of it prints one line of JSON. */
import { z } from 'zod';
import { type Lab, PORTS } from './lab.ts';
import type { Namespace } from './namespace.ts';
import { listensNear } from './proc.ts';
import type { Running } from './running.ts';
import { tool } from './tools.ts';
import { waitFor } from './wait.ts';

const EXTRA_MS = 10_000;
/** Opening 10,000 connections, some of which may time out. */
const HOLD_MS = 90_000;

const Line = z.union([z.object({ error: z.string() }), z.record(z.string(), z.number())]);

/** @throws Error with what went wrong in there */
function parseLine(text: string): Readonly<Record<string, number>> {
  const line = Line.parse(JSON.parse(text));
  if (typeof line['error'] === 'string') throw new Error(`netbench: ${line['error']}`);
  return z.record(z.string(), z.number()).parse(line);
}

/** Echo servers on both sides. */
export async function startEchoServers(lab: Lab): Promise<void> {
  for (const side of ['host', 'guest'] as const) {
    const port = PORTS[side].echo;
    const server = lab.start(lab[side], [tool('netbench'), 'srv', String(port)]);
    await waitFor('netbench to listen', () => listensNear(server.pid, port));
  }
}

/** Run one client to its end. */
export async function netbench(
  lab: Lab,
  where: Namespace,
  args: readonly (string | number)[],
  seconds: number,
): Promise<Readonly<Record<string, number>>> {
  const running = lab.start(where, [tool('netbench'), ...args.map(String)]);
  if (!(await running.finish(seconds * 1000 + EXTRA_MS))) throw new Error('netbench hung');
  return parseLine(running.stdout || '{"error":"no output"}');
}

export interface HeldConnections {
  readonly held: number;
  release(): Promise<void>;
}

/** Open connections that stay idle. */
export async function holdConnections(
  lab: Lab,
  where: Namespace,
  target: string,
  port: number,
  count: number,
): Promise<HeldConnections> {
  const args = ['hold', target, String(port), String(count)];
  const running: Running = lab.start(where, [tool('netbench'), ...args]);
  const [line] = await running.prints(/\{.*\}/, HOLD_MS);
  const { held = 0 } = parseLine(line);
  return {
    held,
    async release() {
      running.child.stdin?.end();
      await running.finish(EXTRA_MS);
    },
  };
}
