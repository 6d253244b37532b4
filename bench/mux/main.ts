/** Multiplexers beside each other, in one run; see {@link USAGE}. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus, release } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { contendersWith } from './contenders.ts';
import { Ends, serveUntilLeft } from './ends.ts';
import { measureSpeed, measureStall, type Values } from './measure.ts';
import { markdown, type Results } from './report.ts';

const USAGE = `usage: npm run bench:mux -- [--mb 1024] [--runs 5] [--only NAME] [--yamux DIR] [--out DIR]

Raw sockets, ours (as hawser's splices use it, and as Node streams), node:http2 with raised windows, and
libp2p's yamux, each over one Unix socket between two processes (raw sockets: one a channel).
MB/s and CPU s/GB (both ends) of bulk on 1 and on 100 channels; opens a second (open, echo 64 bytes,
close; 16 at a time); round trips of 64 bytes, idle and beside bulk; and of a channel whose reader stands
still, what its sender got rid of and what both ends' memory grew by. Every run of a contender has new
processes, warmed up; the runs are the outer loop.

  --mb      size of a bulk transfer, MiB
  --only    contenders whose name starts so
  --yamux   measure yamux too, from a directory in which this was run (it is no dependency of hawser):
            npm install @chainsafe/libp2p-yamux @libp2p/utils @libp2p/logger @multiformats/multiaddr
  --out     where mux.md and mux.json go (bench/results)
`;

const { values } = parseArgs({
  options: {
    mb: { type: 'string', default: '1024' },
    runs: { type: 'string', default: '5' },
    only: { type: 'string', default: '' },
    yamux: { type: 'string' },
    out: { type: 'string', default: 'bench/results' },
    help: { type: 'boolean', short: 'h', default: false },
    // Of the processes that this one starts:
    measure: { type: 'string' },
    serve: { type: 'string' },
    path: { type: 'string', default: '' },
  },
});
const contenders = await contendersWith(values.yamux);
const passedOn = values.yamux === undefined ? [] : ['--yamux', values.yamux];

if (values.help) process.stdout.write(USAGE);
else if (values.serve !== undefined) await serveUntilLeft(named(values.serve), values.path);
else if (values.measure !== undefined) process.send?.(await measure(values.measure));
else await main();

function named(name: string) {
  const found = contenders.find((contender) => contender.name === name);
  if (found === undefined) throw new Error(`no contender ${name}`);
  return found;
}

async function measure(name: string): Promise<Values> {
  const contender = named(name);
  const args = ['--serve', name, ...passedOn];
  const total = Number(values.mb) << 20;
  const speed = await Ends.run(contender, args, (ends) => measureSpeed(ends, total));
  return { ...speed, ...(await Ends.run(contender, args, measureStall)) };
}

async function main(): Promise<void> {
  if (values.yamux === undefined) process.stderr.write('yamux is left out: see --yamux\n');
  const runs: Record<string, readonly Values[]> = {};
  for (let run = 0; run < Number(values.runs); run++) {
    for (const { name } of contenders) {
      if (!name.startsWith(values.only)) continue;
      process.stderr.write(`run ${run + 1}: ${name}\n`);
      const args = ['--measure', name, '--mb', values.mb, ...passedOn];
      const child = fork(process.argv[1] ?? '', args, { execArgv: ['--expose-gc'] });
      const [found]: Values[] = await once(child, 'message');
      await once(child, 'exit');
      runs[name] = [...(runs[name] ?? []), ...(found === undefined ? [] : [found])];
    }
  }
  const [cpu] = cpus();
  const results: Results = {
    made: new Date().toISOString(),
    machine: `Linux ${release()}, ${cpus().length} CPUs (${cpu?.model ?? 'unknown'}), node ${process.version}`,
    settings: `Medians of ${values.runs} runs (least–most), ${values.mb} MiB a transfer.`,
    runs,
  };
  const text = markdown(results);
  mkdirSync(values.out, { recursive: true });
  writeFileSync(join(values.out, 'mux.md'), text);
  writeFileSync(join(values.out, 'mux.json'), `${JSON.stringify(results, undefined, 1)}\n`);
  process.stdout.write(text);
}
