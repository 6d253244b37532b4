/** hawser's own API, which drop-ins serve only where their launcher's environment says so, needs a place only then. */
import { mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { itNeeding, type Requirement } from '../../support/requirements.ts';
import { Workplace } from '../process/hawser.ts';

/** By the program's name; `@` stands for the directory. */
const PROGRAMS: readonly (readonly [name: string, args: string, ...needs: Requirement[]])[] = [
  ['hawser-gvproxy', '-ssh-port=-1 -listen-qemu unix://@/q'],
  ['hawser-gvproxy', '-ssh-port=-1 -services unix://@/s'],
  ['hawser-vpnkit', '--ethernet @/e --hosts='],
  ['hawser-slirp4netns', '--target-type=bess @/b', 'koffi'],
  ['hawser usernet', '-e @/ep --listen-qemu @/q'],
];
/** No path of a socket in it is short enough. */
const LONG = 'd'.repeat(120);

describe('cli/drop-ins/own-api', () => {
  let place: Workplace;
  beforeEach(() => {
    place = new Workplace();
    mkdirSync(place.path(LONG));
  });
  afterEach(() => place.close());

  for (const [name, args, ...needs] of PROGRAMS) {
    const start = (more: NodeJS.ProcessEnv) => {
      const [program, ...first] = name.split(' ');
      const file = fileURLToPath(new URL(`../../../bin/${program}.js`, import.meta.url));
      const argv = [file, ...first, ...args.replaceAll('@', place.dir).split(' ')];
      const env = { XDG_RUNTIME_DIR: place.path(LONG), ...more };
      return place.start(process.execPath, argv, { env });
    };

    itNeeding(`${name} ${args} serves where that path would be too long`, needs, async () => {
      await start({}).says(/hawser is ready/);
    });
    if (name === 'hawser usernet') continue; // it has its own API at -e
    itNeeding(`${name} ${args} says so where it is asked for`, needs, async () => {
      const says = /socket of HAWSER_API=on, in XDG_RUNTIME_DIR, is a path of \d+ bytes: must be/;
      await start({ HAWSER_API: 'on' }).says(says);
    });
  }
});
