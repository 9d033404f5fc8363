// Stands in for the types of @deno/dnt where JSR does not answer, so that
// scripts/build_npm.ts can be type-checked there. It builds nothing.

export function emptyDir(_dir: string): Promise<void> {
  return Promise.reject(new Error("@deno/dnt comes from JSR"));
}

export function build(_options: Record<string, unknown>): Promise<void> {
  return Promise.reject(new Error("@deno/dnt comes from JSR"));
}
