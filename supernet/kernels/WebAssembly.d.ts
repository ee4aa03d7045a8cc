/** The part of the WebAssembly interface that the kernels use; TypeScript has it only in its browser library. */
declare namespace WebAssembly {
  class Module {
    private readonly brand: never
  }
  class Memory {
    constructor(descriptor: { initial: number; maximum?: number })
    readonly buffer: ArrayBuffer
    grow(pages: number): number
  }
  interface Instance {
    readonly exports: Record<string, unknown>
  }
  function compile(bytes: Uint8Array): Promise<Module>
  function instantiate(module: Module, imports: Record<string, Record<string, unknown>>): Promise<Instance>
  function validate(bytes: Uint8Array): boolean
}
