/** The example that feeds OpenTelemetry; its file is not among those that Node is given. */
import { assertEquals } from "@std/assert";
import { afterEach, describe, it } from "@std/testing/bdd";
import { Browser } from "../support/browser.ts";
import { readDocument } from "../support/docs/markdown.ts";
import { startProgram, stopPrograms } from "../support/docs/program.ts";

/** An SDK of OpenTelemetry in small: prints each span that ends. */
const SDK = `
  import { trace } from "@opentelemetry/api";
  function startSpan(name, { attributes }) {
    let status = "ok";
    const span = {
      setAttributes: (more) => (Object.assign(attributes, more), span),
      setStatus: ({ message }) => (status = message, span),
      end() {
        const told = ["session.source", "session.outcome"].map((key) => attributes[key]);
        console.log("SPAN", name, ...told, status, attributes["session.hash"].length);
      },
    };
    return span;
  }
  trace.setGlobalTracerProvider({ getTracer: () => ({ startSpan }) });
  await import("./example.ts");
`;

describe("examples/opentelemetry.ts", () => {
  afterEach(stopPrograms);

  it("makes spans", async () => {
    const files = {
      "main.js": SDK,
      "example.ts": readDocument("examples/opentelemetry.ts"),
    };
    const program = await startProgram(files, "main.js");
    const ada = new Browser(program.url);
    for (const count of [1, 2]) {
      assertEquals((await ada.get("/")).json, { count });
    }
    await program.printed("SPAN session.commit http created ok 22");
    await program.printed("SPAN session.load http found ok 22");
    await program.printed("SPAN session.commit http written ok 22");
    await ada.connect();
    await program.printed("SPAN session.handshake socket session ok");
    await ada.close();
  });
});
