import type { IncomingMessage } from 'node:http';
import { type ProblemError, problem, quoted } from './problem.ts';

export const BODY_LIMIT = 65_536;

const tooLarge = (limit: number): ProblemError =>
  problem(413, `The body is larger than ${limit} bytes.`, { connection: 'close' });

/** Read at most `limit` bytes. Once, before the answer, so that keep-alive stays in sync. */
export function readBody(request: IncomingMessage, limit: number = BODY_LIMIT): Promise<Buffer> {
  if (Number(request.headers['content-length'] ?? 0) > limit)
    return Promise.reject(tooLarge(limit));
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let total = 0;
    request.on('data', (chunk: Buffer) => {
      total += chunk.length;
      if (total > limit) {
        request.pause();
        reject(tooLarge(limit));
      } else {
        chunks.push(chunk);
      }
    });
    request.on('end', () => resolve(Buffer.concat(chunks)));
    const onCut = (): void => reject(problem(400, 'The request ended before its body did.'));
    request.on('error', onCut); // the client aborted it
    request.on('close', onCut);
  });
}

/**
 * @returns the text in `bytes`, or undefined when there is none
 * @throws ProblemError 415 for another media type, 400 for what is not UTF-8
 */
export function jsonText(bytes: Buffer, contentType: string | undefined): string | undefined {
  if (bytes.length === 0) return undefined;
  const mediaType = (contentType ?? '').split(';', 1)[0]?.trim().toLowerCase();
  if (mediaType !== 'application/json') {
    throw problem(415, `The body is ${quoted(contentType ?? 'untyped')}: send application/json.`);
  }
  return orNotJson(() => new TextDecoder('utf-8', { fatal: true }).decode(bytes));
}

/**
 * @returns the JSON object in `bytes`, or undefined when there are none
 * @throws ProblemError as {@link jsonText}, and 400 for anything but an object
 */
export function parseJsonBody(bytes: Buffer, contentType: string | undefined): object | undefined {
  const text = jsonText(bytes, contentType);
  if (text === undefined) return undefined;
  const value: unknown = orNotJson(() => JSON.parse(text));
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw problem(400, 'The body must be a JSON object.');
  }
  return value;
}

function orNotJson<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw problem(400, `The body is not JSON: ${quoted(why)}.`);
  }
}
