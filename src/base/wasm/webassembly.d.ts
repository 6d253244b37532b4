/** The part of the WebAssembly interface that `arena.ts` uses: TypeScript has it only in its DOM types. */
declare global {
  namespace WebAssembly {
    class Memory {
      constructor(descriptor: { readonly initial: number; readonly maximum: number });
      readonly buffer: ArrayBuffer;
    }
    class Module {
      constructor(bytes: Uint8Array);
    }
    class CompileError extends Error {}
    class Instance {
      constructor(
        module: Module,
        imports: Readonly<Record<string, Readonly<Record<string, Memory>>>>,
      );
      readonly exports: Readonly<Record<string, CallableFunction | Memory>>;
    }
  }
}

export {};
