# The PyTorch peers become string constants of the library, so that the program finds them wherever it is installed.
foreach(peer gpt_torch seq2seq_torch)
  set(peer_script ${PROJECT_SOURCE_DIR}/benchmarks/peers/${peer}.py)
  set(peer_source ${CMAKE_BINARY_DIR}/generated/evenkeel/bench/${peer}.cpp)
  add_custom_command(
    OUTPUT ${peer_source}
    COMMAND ${CMAKE_COMMAND} -DSCRIPT=${peer_script} -DNAME=${peer}_script -DOUT=${peer_source}
            -P ${CMAKE_CURRENT_SOURCE_DIR}/bench/embed.cmake
    DEPENDS ${peer_script} ${CMAKE_CURRENT_SOURCE_DIR}/bench/embed.cmake
    COMMENT "Embedding a PyTorch peer"
    VERBATIM)
  target_sources(evenkeel_plain PRIVATE ${peer_source})
endforeach()
