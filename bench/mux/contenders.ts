/** Who is measured. */
import type { Contender } from './contender.ts';
import { hawser, hawserStreams } from './hawser.ts';
import { http2Raised, raw } from './streams.ts';
import { yamuxFrom } from './yamux.ts';

export const OURS: string = hawser.name;
export const BASELINE: string = http2Raised.name;

/** @param yamuxDir where libp2p's yamux is installed; it is left out where there is none */
export async function contendersWith(yamuxDir: string | undefined): Promise<Contender[]> {
  const yamux = yamuxDir === undefined ? [] : [await yamuxFrom(yamuxDir)];
  return [raw, hawser, hawserStreams, http2Raised, ...yamux];
}
