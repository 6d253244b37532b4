/** The YAML file of `--config`: its values, and where each stands in it. */
import { isMap, isNode, isScalar, LineCounter, parseDocument } from 'yaml';
import { relativePathProblem } from '../native/current-directory.ts';
import { readSmallFile } from '../native/read-small-file.ts';
import { messageOf, UsageError } from '../network/errors.ts';

export interface ConfigFile {
  readonly path: string;
  readonly values: Readonly<Record<string, unknown>>;
  /** `FILE:LINE` of a key, or of one of its list's items. */
  locate(key: string, index?: number): string;
}

/** @throws UsageError */
export function readConfigFile(file: string): ConfigFile {
  return parseConfig(readText(file), file);
}

function readText(file: string): string {
  const problem = relativePathProblem(file);
  if (problem !== undefined) throw new UsageError([`--config ${file} ${problem}`]);
  try {
    return readSmallFile(file);
  } catch (error) {
    throw new UsageError([`--config ${file}: cannot be read: ${messageOf(error)}`]);
  }
}

/** @throws UsageError with a line for each error of syntax */
export function parseConfig(text: string, file: string): ConfigFile {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const at = (offset: number): string => `${file}:${lines.linePos(offset).line}`;
  if (document.errors.length > 0) {
    throw new UsageError(
      document.errors.map((error) => `${at(error.pos[0])}: not YAML: ${error.message}`),
    );
  }
  const { contents } = document;
  if (contents === null) return { path: file, values: {}, locate: () => file };
  if (!isMap(contents)) {
    throw new UsageError([`${file}:1: must be a mapping of options, such as "mtu: 9000"`]);
  }
  let values: Record<string, unknown>;
  try {
    values = { ...document.toJS() };
  } catch (error) {
    throw new UsageError([`${file}: not usable: ${messageOf(error)}`]);
  }
  const locate = (key: string, index?: number): string => {
    const pair = contents.items.find(
      (item) => isScalar(item.key) && String(item.key.value) === key,
    );
    const keyNode = pair?.key;
    const item = index === undefined ? undefined : itemNode(document.get(key, true), index);
    const offset = rangeStart(item) ?? rangeStart(keyNode);
    return offset === undefined ? file : at(offset);
  };
  return { path: file, values, locate };
}

function itemNode(node: unknown, index: number): unknown {
  return isNode(node) && 'items' in node && Array.isArray(node.items)
    ? node.items[index]
    : undefined;
}

function rangeStart(node: unknown): number | undefined {
  return isNode(node) ? node.range?.[0] : undefined;
}
