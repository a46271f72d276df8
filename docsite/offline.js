// Browsers start no Worker from a file, so where the site is opened as files, a hidden frame does
// the work of the search's worker: same messages, same script.
if (location.protocol === "file:") {
  window.Worker = class {
    constructor(url) {
      const frame = document.createElement("iframe");
      frame.hidden = true;
      frame.srcdoc = `<script src="${new URL(url, document.baseURI)}"></script>`;
      this.ready = new Promise((done) => {
        frame.onload = () => {
          frame.contentWindow.postMessage = (data) =>
            this.onmessage?.({ data: structuredClone(data) });
          done(frame.contentWindow);
        };
      });
      this.terminate = () => frame.remove();
      document.documentElement.append(frame);
    }

    postMessage(data) {
      this.ready.then((work) => work.onmessage({ data: structuredClone(data) }));
    }
  };
}
