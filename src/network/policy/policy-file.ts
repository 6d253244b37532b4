/** Policies as text, of YAML or JSON: a value, and where each part of it stands. */
import { isNode, LineCounter, parseDocument, stringify } from 'yaml';
import { readSmallFile } from '../../native/read-small-file.ts';
import { messageOf } from '../errors.ts';
import {
  type DocumentProblem,
  MAX_RULES,
  PolicyProblems,
  placeOf,
  TOO_MANY_RULES,
} from './policy-document.ts';
import { longestArray } from './policy-json.ts';

/** As the API's. */
const POLICY_MAX = 8 * 1024 * 1024;

export interface PolicyText {
  readonly value: unknown;
  /** A sentence for each problem: `FILE:LINE: rules[2].allow.cidr: must be ...`. */
  sentences(problems: readonly DocumentProblem[]): readonly string[];
}

/** Of a {@link PolicyProblems}' message that has come from elsewhere. */
export const problemsIn = (message: string): readonly DocumentProblem[] =>
  message.split('\n').map((line) => {
    const [, place = '', why = line] = /^([a-z]+(?:\.[a-z]+|\[\d+\])*): (.*)$/.exec(line) ?? [];
    const path = place.match(/[a-z]+|\d+/g) ?? [];
    return { path: path.map((part) => (/^\d/.test(part) ? Number(part) : part)), why };
  });

export const policyYaml = (document: object): string => stringify(document, { lineWidth: 0 });

/** @throws PolicyProblems */
export function readPolicyFile(path: string): PolicyText {
  let text: string;
  try {
    text = readSmallFile(path, POLICY_MAX);
  } catch (error) {
    throw new PolicyProblems([{ path: [], why: `${path} cannot be read: ${messageOf(error)}` }]);
  }
  return parsePolicyText(text, path);
}

/** @throws PolicyProblems when it is neither YAML nor JSON */
export function parsePolicyText(text: string, file: string): PolicyText {
  if (hasTooManyRules(text)) {
    throw new PolicyProblems([{ path: [], why: `${file}: rules: ${TOO_MANY_RULES}` }]);
  }
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const at = (offset: number): string => `${file}:${lines.linePos(offset).line}: `;
  const [error] = document.errors;
  if (error !== undefined) {
    throw new PolicyProblems([{ path: [], why: `${at(error.pos[0])}not YAML: ${error.message}` }]);
  }
  let value: unknown;
  try {
    value = document.toJS();
    JSON.stringify(value); // which throws where an alias is within its own anchor
  } catch (cause) {
    throw new PolicyProblems([{ path: [], why: `${file}: not usable: ${messageOf(cause)}` }]);
  }
  const whereIs = (path: readonly PropertyKey[]): string => {
    for (let n = path.length; n >= 0; n--) {
      const node = n === 0 ? document.contents : document.getIn(path.slice(0, n), true);
      if (isNode(node) && node.range) return at(node.range[0]);
    }
    return `${file}: `;
  };
  return {
    value,
    sentences: (problems) =>
      problems.map(({ path, why }) => `${whereIs(path)}${placeOf(path)}${why}`),
  };
}

/** Before it is parsed, which takes YAML seconds: by the lines that begin as the first rule's, or what is between brackets. */
function hasTooManyRules(text: string): boolean {
  if (/^\s*\{/.test(text)) return longestArray(text, MAX_RULES) > MAX_RULES;
  const key = /^rules:[^\S\n]*(?:(?=\[)|(?:#.*)?\n(?:[^\S\n]*(?:#.*)?\n)*(?=( *)-\s))/m.exec(text);
  if (key === null) return false;
  const list = text.slice(key.index + key[0].length);
  const [, indent] = key;
  if (indent === undefined) return longestArray(`{${list}`, MAX_RULES) > MAX_RULES;
  let rules = 0;
  for (const _ of list.matchAll(new RegExp(`^ {${indent.length}}-\\s`, 'gm'))) {
    if (++rules > MAX_RULES) return true;
  }
  return false;
}
