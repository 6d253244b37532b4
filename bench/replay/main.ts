/**
 * `npm run bench:replay`: the captures of real guests through the stack, over and over. Packets a second
 * that come from the guest, one thread, everything from the frame to the flow; and bytes allocated for
 * each of them: for whole captures, connections opened and closed included, and for the middle of
 * established connections, where nothing should be.
 */
import { captureNames, readCapture } from '../../test/golden/support/capture.ts';
import { CAPTURED_NETWORK } from './captured-network.ts';
import { measure } from './measure.ts';
import { Player } from './player.ts';
import { makeScript, type Script, type ScriptFlow } from './script.ts';

/** Shorter flows say little. */
const MIN_REPEATED = 10;

const line = (cells: readonly string[]): void => {
  process.stdout.write(`| ${cells.join(' | ')} |\n`);
};

async function row(name: string, packets: number, player: Player, pass: () => void): Promise<void> {
  const { link, stack } = player;
  const sentBefore = link.frames;
  pass();
  const sent = link.frames - sentBefore;
  const dropsBefore = stack.drops.snapshot();
  pass();
  const drops = Object.entries(stack.drops.snapshot())
    .map(([reason, count]) => [reason, count - (dropsBefore[reason] ?? 0)] as const)
    .filter(([, count]) => count > 0)
    .map(([reason, count]) => `${count} ${reason}`);
  const { passesPerSecond, bytesPerPass } = await measure(pass);
  line([
    name,
    `${packets}`,
    `${sent}`,
    `${Math.round((packets * passesPerSecond) / 1000)}`,
    (bytesPerPass / packets).toFixed(1),
    drops.length === 0 ? '–' : drops.join(', '),
  ]);
}

const flowsOf = (script: Script): readonly ScriptFlow[] => [
  ...new Set(
    script.bursts.flatMap(({ frames }) =>
      frames.map(({ flow }) => flow).filter((flow) => flow !== undefined),
    ),
  ),
];

line([
  'capture',
  'packets',
  'answered by',
  '1000 packets/s',
  'bytes allocated a packet',
  'dropped',
]);
process.stdout.write(`|${'---|'.repeat(6)}\n`);
for (const name of captureNames()) {
  const captured = await readCapture(name);
  const script = makeScript(captured, CAPTURED_NETWORK.mac);
  const player = new Player(script, CAPTURED_NETWORK);
  await row(name, script.frames, player, () => player.play());
  for (const flow of flowsOf(script)) {
    const own = makeScript(captured, CAPTURED_NETWORK.mac);
    const same = flowsOf(own).find(({ id }) => id.guestPort === flow.id.guestPort);
    if (same === undefined) continue;
    const alone = new Player(own, CAPTURED_NETWORK);
    const repeated = alone.open(same);
    if (repeated.frames < MIN_REPEATED) continue;
    const { guestBytes, hostBytes, frames } = repeated;
    const about = `${name}, established: ${guestBytes} bytes to the host, ${hostBytes} to the guest`;
    await row(about, frames, alone, () => alone.repeat(repeated));
  }
}
