/** The figures of the report, and how they stand together in tables and charts. */
import { READY } from '../sample.ts';

export interface Metric {
  readonly title: string;
  readonly case: string;
  readonly key: string;
  readonly digits: number;
  readonly better: 'more' | 'less';
}

export interface Section {
  /** Names the chart's file. */
  readonly name: string;
  readonly title: string;
  readonly metrics: readonly Metric[];
  /** Only these peers; undefined: all that have figures, but those that only publish ports. */
  readonly peers?: readonly string[];
  /** Shown only where one of these cases was measured. */
  readonly needs?: readonly string[];
  /** In a chart all bars have one unit. */
  readonly chart?: {
    readonly title: string;
    readonly unit: string;
    readonly metrics: readonly Metric[];
  };
}

/** Its only cases are those of published ports. */
export const PUBLISHER = 'docker-proxy';

const more = (title: string, of: string, key: string, digits = 0): Metric => ({
  title,
  case: of,
  key,
  digits,
  better: 'more',
});
const less = (title: string, of: string, key: string, digits = 0): Metric => ({
  ...more(title, of, key, digits),
  better: 'less',
});

/** One figure of the four bulk cases. */
const ofBulk = (make: typeof more, key: string): readonly Metric[] =>
  ['g2h-1', 'g2h-8', 'h2g-1', 'h2g-8'].map((name) =>
    make(name.replace('2', '→').replace('-', ' '), `tcp-${name}`, key, 2),
  );
const BULK = ofBulk(more, 'gbps');
const CPU = ofBulk(less, 'cpuSPerGb');
const ROUND_TRIPS = [
  less('g→h p50', 'rr-g2h', 'p50Us'),
  less('g→h p99', 'rr-g2h', 'p99Us'),
  less('h→g p50', 'rr-h2g', 'p50Us'),
  less('h→g p99', 'rr-h2g', 'p99Us'),
  less('UDP g→h p50', 'udprr-g2h', 'p50Us'),
];
const CONNECTIONS = [
  more('g→h 1', 'crr-g2h-1', 'rate'),
  more('g→h 32', 'crr-g2h-32', 'rate'),
  more('h→g 1', 'crr-h2g-1', 'rate'),
  more('h→g 32', 'crr-h2g-32', 'rate'),
];
const UDP = [
  more('1400 B g→h', 'udp-1400-g2h', 'kpps'),
  more('1400 B h→g', 'udp-1400-h2g', 'kpps'),
  more('64 B g→h', 'udp-64-g2h', 'kpps'),
];
const MEMORY = [
  less('idle', 'idle', 'rssMb'),
  less('1,000 connections', 'hold-1000', 'rssMb'),
  less('10,000 connections', 'hold-10000', 'rssMb'),
  less('after load', 'after-load', 'rssMb'),
];
const PUBLISHED_BULK = [
  more('to guest', 'tcp-h2g-1', 'gbps', 2),
  more('from guest', 'tcp-h2g-1-back', 'gbps', 2),
];

export const SECTIONS: readonly Section[] = [
  {
    name: 'bulk',
    title: 'TCP bulk, Gbit/s',
    metrics: BULK,
    chart: { title: 'TCP bulk', unit: 'Gbit/s', metrics: BULK },
  },
  {
    name: 'cpu',
    title: "CPU seconds of the peer's processes for each GB",
    metrics: CPU,
    chart: { title: 'CPU cost', unit: 's/GB', metrics: CPU },
  },
  {
    name: 'round-trips',
    title: 'Request and response, µs',
    metrics: ROUND_TRIPS,
    chart: { title: 'Request and response', unit: 'µs', metrics: ROUND_TRIPS },
  },
  {
    name: 'connections',
    title: 'Connect, request, response: connections a second',
    metrics: [...CONNECTIONS, less('CPU µs each, g→h 32', 'crr-g2h-32', 'cpuUsEach')],
    chart: { title: 'Connections', unit: 'a second', metrics: CONNECTIONS },
  },
  {
    name: 'udp',
    title: 'UDP flood, thousands of packets received a second',
    metrics: [
      ...UDP,
      less('CPU µs a packet, 1400 B g→h', 'udp-1400-g2h', 'cpuUsEach', 1),
      less('lost %, 1400 B g→h', 'udp-1400-g2h', 'lossPct'),
    ],
    chart: { title: 'UDP flood', unit: '1000 packets/s', metrics: UDP },
  },
  {
    name: 'beside-idle',
    title: 'With 1,000 idle connections open',
    needs: ['idle-1000-tcp-g2h-1', 'idle-1000-rr-g2h'],
    metrics: [
      more('g→h 1, alone', 'tcp-g2h-1', 'gbps', 2),
      more('beside 1,000', 'idle-1000-tcp-g2h-1', 'gbps', 2),
      less('g→h p50 µs, alone', 'rr-g2h', 'p50Us'),
      less('beside 1,000', 'idle-1000-rr-g2h', 'p50Us'),
    ],
  },
  {
    name: 'memory',
    title: 'Resident memory, MB; start; idle CPU',
    metrics: [
      ...MEMORY,
      more('of 10,000 opened', 'hold-10000', 'held'),
      less('ready, ms', READY, 'ms'),
      less('idle CPU %', 'idle', 'cpuPct', 1),
    ],
    chart: { title: 'Resident memory', unit: 'MB', metrics: MEMORY },
  },
  {
    name: 'published',
    title: `A published port from end to end, beside Docker's ${PUBLISHER}`,
    peers: ['hawser', 'hawser-tap', PUBLISHER],
    metrics: [
      more('to guest, Gbit/s', 'tcp-h2g-1', 'gbps', 2),
      more('from guest, Gbit/s', 'tcp-h2g-1-back', 'gbps', 2),
      less('CPU s/GB to guest', 'tcp-h2g-1', 'cpuSPerGb', 2),
      more('requests/s', 'rr-h2g', 'rate'),
      less('p50 µs', 'rr-h2g', 'p50Us'),
      more('connections/s, 1', 'crr-h2g-1', 'rate'),
      more('connections/s, 32', 'crr-h2g-32', 'rate'),
    ],
    chart: { title: 'A published port', unit: 'Gbit/s', metrics: PUBLISHED_BULK },
  },
];
