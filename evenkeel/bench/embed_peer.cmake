# The PyTorch peer becomes a string constant of the library, so that the program finds it wherever it is installed.
set(peer_script ${PROJECT_SOURCE_DIR}/benchmarks/peers/gpt_torch.py)
set(peer_source ${CMAKE_BINARY_DIR}/generated/evenkeel/bench/gpt_torch.cpp)
add_custom_command(
  OUTPUT ${peer_source}
  COMMAND ${CMAKE_COMMAND} -DSCRIPT=${peer_script} -DOUT=${peer_source} -P ${CMAKE_CURRENT_SOURCE_DIR}/bench/embed.cmake
  DEPENDS ${peer_script} ${CMAKE_CURRENT_SOURCE_DIR}/bench/embed.cmake
  COMMENT "Embedding the PyTorch peer"
  VERBATIM)
target_sources(evenkeel_plain PRIVATE ${peer_source})
