"""How stages are made: who computes where, in which process, and what comes back.

``--devices rehearse:2`` rehearses two accelerators on the processor, for tests and for a first
look. As on CUDA: one lease a device, loader processes forked from the worker, the same lots by
image, one batch launched while another is fetched, bfloat16 where torch mixes it in (its own list
for processors), and, with FUSE_THEN_REHEARSED_IMAGES, memory that ends in the first step. In "fp32"
a rehearsed stage ends as one on a CPU with as many threads, but for the detector's lots.

What CUDA does that no rehearsal reaches, and no test without a GPU:

- Pinned memory, copies that do not block and the events that end them (`fusion.generation.device`,
  ultralytics' `pin_memory`), with the thread that pins beside forked loaders.
- Which GPUs there are, their UUIDs under CUDA_VISIBLE_DEVICES and MIG, and who else uses them.
- TF32: that its switches are set is tested, what the products lose by it is not.
- Real memory: its fragments, cuDNN's workspaces, what validation takes (ultralytics clears the
  cache before), and the errors of cuDNN and cuBLAS that ultralytics takes for a lack of memory.
- Determinism of CUDA's kernels: the detector asks for it and is warned, the others do not ask.
- ultralytics' channels-last network, and its validation in float16 where training mixes in
  bfloat16; a rehearsal validates in float32.
- The forms that networks take off the processor: large kernels that are never spectral
  (`fusion.layers.large_kernel`), dilated depth-wise convolutions (`segmentation.dilated`),
  LKC-FUNet's own normalisation, quality by whole batches.
- Random states of the GPU in a resumed training, as dropout draws them.
- Several GPUs for one training: not built. ultralytics starts the processes of its own DDP from
  its own settings alone, without our network, our callbacks and our weights.
"""
