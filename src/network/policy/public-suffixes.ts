/** The public suffix list, as far as rules of names need it: loaded when there is one. */
import type { SuffixFacts } from '../../services/policy/policy-name.ts';

export async function publicSuffixes(): Promise<SuffixFacts> {
  const { getPublicSuffix } = await import('tldts');
  const isSuffix = (name: string, allowPrivateDomains: boolean): boolean =>
    getPublicSuffix(name, { allowPrivateDomains }) === name;
  return {
    isRegistry: (name) => isSuffix(name, false),
    isShared: (name) => isSuffix(name, true),
  };
}
