/** 100 increments over HTTP and 100 over the socket, all at once. */

const EACH = 100;

export async function hammer(api, view) {
  const before = (await api.ask("me")).count;
  const done = { transaction: 0, socket: 0 };
  const one = async (way) => {
    const value = await api.count(way);
    view.progress(way, ++done[way] / EACH);
    return value;
  };
  view.progress("transaction", 0);
  view.progress("socket", 0);

  const start = performance.now();
  const answers = await Promise.allSettled(
    Array.from(
      { length: 2 * EACH },
      (_, i) => one(i % 2 ? "socket" : "transaction"),
    ),
  );
  const ms = Math.round(performance.now() - start);

  const after = (await api.ask("me")).count;
  const values = answers.flatMap(({ status, value }) =>
    status === "fulfilled" ? [value] : []
  );
  // a value that was returned twice is a lost update
  const counted = new Set(values).size;
  view.result({
    wanted: 2 * EACH,
    counted,
    lost: values.length - counted,
    failed: answers.length - values.length,
    added: after - before,
    ms,
  });
}
