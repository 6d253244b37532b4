/** JSON as Go's decoder takes it for a struct: keys in any case, others ignored, null and what is left out are the zero value. */

/** By keys in lower case. */
export type GoStruct = ReadonlyMap<string, unknown>;

/**
 * @param type of the value, where it stands alone
 * @param field of the struct, where it stands in one
 * @throws Error in Go's words
 */
export function goStruct(value: unknown, type: string, field: string): GoStruct {
  if (value === null || value === undefined) return new Map();
  if (typeof value !== 'object' || Array.isArray(value)) {
    const where = field.includes('.') ? `struct field ${field} of` : 'value of';
    throw mismatch(value, `${where} type ${type}`);
  }
  return new Map(Object.entries(value).map(([key, one]) => [key.toLowerCase(), one]));
}

export function textOf(struct: GoStruct, key: string, field: string): string {
  const value = struct.get(key);
  if (value === null || value === undefined) return '';
  if (typeof value === 'string') return value;
  throw mismatch(value, `struct field ${field} of type string`);
}

export function listOf(
  struct: GoStruct,
  key: string,
  field: string,
  type: string,
): readonly unknown[] {
  const value = struct.get(key);
  if (value === null || value === undefined) return [];
  if (Array.isArray(value)) return value;
  throw mismatch(value, `struct field ${field} of type ${type}`);
}

function mismatch(value: unknown, where: string): Error {
  const kind = Array.isArray(value) ? 'array' : typeof value === 'boolean' ? 'bool' : typeof value;
  return new Error(`json: cannot unmarshal ${kind} into Go ${where}`);
}
