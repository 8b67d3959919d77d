// A person's own image: by file, drop, paste or camera.

/** @param {(image: Blob) => void} given @param {(reason: string) => void} failed */
export function ownImage(root, given, failed) {
  const drop = root.querySelector("#drop"), file = root.querySelector("#file"), camera = root.querySelector("#camera");
  const take = (files) => {
    const image = [...files].find(({ type }) => type.startsWith("image/"));
    if (image) given(image);
  };
  file.addEventListener("change", () => take(file.files));
  for (const kind of ["dragenter", "dragover"]) {
    drop.addEventListener(kind, (event) => {
      event.preventDefault();
      drop.classList.add("over");
    });
  }
  for (const kind of ["dragleave", "drop"]) drop.addEventListener(kind, () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    take(event.dataTransfer.files);
  });
  window.addEventListener("paste", (event) => take(event.clipboardData?.files ?? []));
  camera.hidden = !navigator.mediaDevices?.getUserMedia;
  camera.addEventListener("click", async () => {
    let stream;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: true });
    } catch (reason) {
      failed(`No picture from the camera: ${reason.message}`);
      return;
    }
    try {
      const video = document.createElement("video");
      video.srcObject = stream;
      await video.play();
      const canvas = document.createElement("canvas");
      canvas.width = video.videoWidth;
      canvas.height = video.videoHeight;
      canvas.getContext("2d").drawImage(video, 0, 0);
      canvas.toBlob((image) => given(image), "image/png");
    } finally {
      for (const track of stream.getTracks()) track.stop();
    }
  });
}
