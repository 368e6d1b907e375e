// What the scripts in JavaScript share: checks that are told of as they end.

let failed = false;

/**
 * Returns a function that runs the checks of a suite, each under its name: one fails by an exception, or if it is not
 * done within `patience` milliseconds.
 */
export function suite(name, patience) {
  return async (what, body) => {
    let timer;
    const late = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error(`not done within ${patience / 1000} s`)), patience);
    });
    try {
      await Promise.race([body(), late]);
      console.log(`ok - ${name}: ${what}`);
    } catch (error) {
      const why = String(error.message).replace(/\s+/g, ' ').slice(0, WHY_LEN);
      console.log(`not ok - ${name}: ${what}: ${why}`);
      failed = true;
    } finally {
      clearTimeout(timer);
    }
  };
}

const WHY_LEN = 400; // a browser's driver tells a whole story

/** Ends the program: with 1 if any check has failed. */
export function exit() {
  process.exit(failed ? 1 : 0);
}
