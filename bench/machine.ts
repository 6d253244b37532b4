/** What the figures were measured on and with. */
import { cpus, release } from 'node:os';
import type { BenchOptions } from './options.ts';
import { type Peer, versionOf } from './peers/peer.ts';

export function describeMachine(): string {
  const all = cpus();
  return `Linux ${release()}, ${all.length} CPUs (${all[0]?.model ?? 'unknown'})`;
}

export function describeVersions(peers: readonly Peer[]): readonly string[] {
  const own = [`node ${process.version}`, versionOf('iperf3', '--version')];
  const theirs = peers.map((peer) => peer.version());
  return [...new Set([...theirs, ...own])].filter((line) => line !== '');
}

export function describeSettings(options: BenchOptions, congestion: string): string {
  const { seconds, repetitions } = options;
  const times =
    repetitions === 1 ? '1 repetition' : `medians of ${repetitions} repetitions (least–most)`;
  return `${times}, ${seconds} s a case, ${congestion} on both sides`;
}
