import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { ATTACKS } from '../../bench/hostile/attacks.ts';
import type { Seen } from '../../bench/hostile/daemon-watch.ts';
import type { Measured, Phase } from '../../bench/hostile/measure.ts';
import { attackTable, replaceTable } from '../../bench/hostile/report.ts';
import type { Service, Services } from '../../bench/hostile/steady.ts';
import { ALL_KINDS, failures } from '../../bench/hostile/verdict.ts';

const GOOD: Service = { sent: 500, answered: 500, p50: 1, p99: 4, max: 9 };
const SEEN: Seen = {
  turnMs: 5,
  longTurns: 0,
  cpuPct: 50,
  apiP99Ms: 9,
  apiFailed: 0,
  rssMb: 80,
  descriptors: 40,
  logKb: 0,
};
const NOISE = { foreignPct: 0, stealPct: 0 };
const all = (service: Service): Services =>
  Object.fromEntries(ALL_KINDS.map((kind) => [kind, service]));
const phase = (services: Services = {}, seen: Partial<Seen> = {}): Phase => ({
  services: { ...all(GOOD), ...services },
  seen: { ...SEEN, ...seen },
  noise: NOISE,
});
const BASE = { quiet: phase(), busy: phase() };

const LEFT = { rssMb: 60, descriptors: 30, links: 1 };

const measured = (change: Partial<Measured>): Measured => ({
  attack: 'arp',
  during: phase(),
  after: phase(),
  idle: { rssMb: 60, descriptors: 30, links: 1 },
  limit: 2048,
  attacker: '',
  rssBackS: 1,
  descriptorsBackS: 1,
  linksBackS: 1,
  end: LEFT,
  aboveMb: 64,
  ...change,
});

describe('bench: hostile', () => {
  it('attacks have names of their own', () => {
    assert.equal(new Set(ATTACKS.map(({ name }) => name)).size, ATTACKS.length);
  });

  const ROWS: readonly (readonly [string, Partial<Measured>, RegExp | undefined])[] = [
    ['all is well', {}, undefined],
    ['5 of 500 lost', { during: phase({ dns: { ...GOOD, answered: 495 } }) }, undefined],
    [
      '6 of 500 lost',
      { during: phase({ dns: { ...GOOD, answered: 494 } }) },
      /^DNS during: 98.8 % answered \(dns 494 of 500\)$/,
    ],
    [
      'lost afterwards',
      { after: phase({ tcp: { ...GOOD, answered: 0 } }) },
      /^TCP after: 0.0 % answered \(tcp 0 of 500\)$/,
    ],
    ['three times as slow', { during: phase({ udp: { ...GOOD, p99: 12 } }) }, undefined],
    ['four times as slow', { during: phase({ udp: { ...GOOD, p99: 16 } }) }, /^p99 factor: 4.0/],
    ['a long turn', { during: phase({}, { turnMs: 20.1 }) }, /^longest turn: 20.1 of 20 ms/],
    ['a slow API', { during: phase({}, { apiP99Ms: 101 }) }, /^API p99: 101.0/],
    ['memory', { during: phase({}, { rssMb: 661 }) }, /^RSS above idle: 601.0 of 600 MB/],
    ['all descriptors', { during: phase({}, { descriptors: 2048 }) }, /^descriptors: 2048/],
    [
      'memory stays',
      { rssBackS: undefined, end: { ...LEFT, rssMb: 200 } },
      /^RSS stays 140 MB above idle/,
    ],
    [
      'descriptors stay',
      { descriptorsBackS: undefined, end: { ...LEFT, descriptors: 90 } },
      /stay 60 above/,
    ],
    [
      'links stay',
      { linksBackS: undefined, end: { ...LEFT, links: 99 } },
      /^99 links stay attached, of 1 before$/,
    ],
    ['the daemon ends', { died: 'out of memory' }, /^the daemon ended: out of memory$/],
  ];
  for (const [name, change, expected] of ROWS) {
    it(`verdict: ${name}`, () => {
      const found = failures(measured(change), BASE);
      if (expected === undefined) assert.deepEqual(found, []);
      else {
        assert.equal(found.length, 1, found.join('\n'));
        assert.match(found[0] ?? '', expected);
      }
    });
  }

  it('the table has a row for no attack, for a busy machine, and for each attack', () => {
    const during = phase({ ping: { ...GOOD, answered: 0, p99: 0 } });
    const lines = attackTable(BASE, [measured({}), measured({ during })]).split('\n');
    assert.equal(lines.length, 6);
    assert.match(lines[4] ?? '', /^\| arp: .* \| 100.0 \| .* \| 40 of 2048 \| 1 \| 100.0 \|$/);
    assert.match(lines[5] ?? '', /^\| \*\*arp\*\*: .* \| 0.0 \| 4.0 \| /);
  });

  it('the table has its place in the document', () => {
    const [begin, end] = [
      '<!-- attacks: npm run bench:hostile -- --docs -->',
      '<!-- end of attacks -->',
    ];
    const text = replaceTable(`before\n${begin}\nold\n${end}\nafter\n`, '| new |');
    assert.equal(text, `before\n${begin}\n| new |\n${end}\nafter\n`);
    assert.throws(() => replaceTable(`${end}${begin}`, ''), /no place/);
    assert.doesNotThrow(() => replaceTable(readFileSync('docs/security.md', 'utf8'), ''));
  });
});
