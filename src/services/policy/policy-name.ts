/** Names in rules: `example.com` is that name alone, `*.example.com` every name below it, at any depth, and not itself. */
import { isNumeric, statedName } from '../sniff/host-name.ts';

export interface NamePattern {
  /** Lower case, A-labels, no dot at the end. */
  readonly name: string;
  readonly isWildcard: boolean;
}

/** What is known about the suffixes under which names are registered (publicsuffix.org). */
export interface SuffixFacts {
  /** Whether registries give out names right below it: `com`, `co.uk`. */
  isRegistry(name: string): boolean;
  /** Whether strangers have names below it: `github.io`, `amazonaws.com`. */
  isShared(name: string): boolean;
}

export interface ParsedPattern {
  readonly pattern: NamePattern;
  readonly warning: string | undefined;
}

/**
 * @param text its labels beyond ASCII are A-labels already
 * @returns a text: what is wrong with it
 */
export function parsePattern(text: string, facts: SuffixFacts): ParsedPattern | string {
  if (text.startsWith('**')) {
    return 'must be a name or *.NAME, which is every name below it at any depth: ** is not needed';
  }
  const isWildcard = text.startsWith('*.');
  const name = statedName(isWildcard ? text.slice(2) : text);
  if (name === undefined) {
    return 'must be a host name, such as example.com, or *.example.com for every name below it';
  }
  if (isNumeric(name)) return 'is read as an address by resolvers: give cidr';
  const pattern = { name, isWildcard };
  if (!isWildcard) return { pattern, warning: undefined };
  if (!name.includes('.') || facts.isRegistry(name)) {
    return `covers every name that is registered below ${name}: name the domain, such as *.example.${name}`;
  }
  const warning = facts.isShared(name)
    ? `*.${name} is shared: strangers have names there`
    : undefined;
  return { pattern, warning };
}

export const formatPattern = ({ name, isWildcard }: NamePattern): string =>
  isWildcard ? `*.${name}` : name;

/** The name, and what it is below: `a.b.c`, `b.c`, `c`. */
export function* suffixesOf(name: string): Generator<string, void> {
  let at = 0;
  for (;;) {
    yield name.slice(at);
    const dot = name.indexOf('.', at);
    if (dot < 0) return;
    at = dot + 1;
  }
}

export const matchesName = ({ name, isWildcard }: NamePattern, candidate: string): boolean =>
  isWildcard ? candidate.endsWith(`.${name}`) : candidate === name;
